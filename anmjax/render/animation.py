"""animate: rollouts as a film, GIF or MP4, side by side."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from anmjax.agents.replay import Replay, Series
from anmjax.render.diagram import DPI, Picture
from anmjax.render.web_page import check_rollouts

if TYPE_CHECKING:
    import os

FPS = 8  # pictures a second
COLOURS = 128  # of a picture in a GIF
ENDINGS = (".gif", ".mp4")


def animate(
    rollouts: Mapping[str, Replay],
    path: str | os.PathLike[str],
    *,
    fps: int = FPS,
    title: str = "",
    coordinates: Any = None,
    dark: bool = False,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Writes a film of rollouts side by side, a picture for each step, see ``diagram``.

    Args:
      rollouts: of the same grid and length, by name of the policy.
      path: of the file; ``.gif`` is written by Pillow, ``.mp4`` by ffmpeg.
      fps: pictures a second.
      title: begins the title of each picture.
      coordinates: places of the buses, see ``page``; None: computed.
      dark: on a dark ground.
      progress: called after each picture with how many there are.

    Raises:
      ImportError: matplotlib is not installed.
      OSError: the file cannot be written.
      RuntimeError: ffmpeg is not installed, and an MP4 is asked for.
      ValueError: the ending is another, or the rollouts are of no one clock, see ``page``.
    """
    check_rollouts(rollouts)
    save = _writer(Path(path))
    pictures = {
        name: Picture(replay.network, coordinates=coordinates, dark=dark) for name, replay in rollouts.items()
    }

    def frames() -> Iterator[np.ndarray]:
        for t in range(len(next(iter(rollouts.values())).series.e_loss)):
            parts = [
                pictures[name].pixels(_at(replay, t), title=_title(title, name, replay, t))
                for name, replay in rollouts.items()
            ]
            yield np.concatenate(parts, axis=1)
            if progress is not None:
                progress(t + 1)

    save(frames(), Path(path), fps)


def check_film(path: str | os.PathLike[str]) -> None:
    """Refuses a film that could not be written here; loads matplotlib, which takes a second.

    Raises:
      ImportError, RuntimeError, ValueError: as ``animate``.
    """
    _writer(Path(path))


def _writer(path: Path) -> Callable[[Iterator[np.ndarray], Path, int], None]:
    from matplotlib.animation import FFMpegWriter

    if path.suffix.lower() not in ENDINGS:
        raise ValueError(f"{path} must end in one of {', '.join(ENDINGS)}")
    if path.suffix.lower() == ".gif":
        return _write_gif
    if not FFMpegWriter.isAvailable():
        raise RuntimeError(f"{path} needs ffmpeg, which is not installed here; a .gif does not")
    return _write_mp4


def _write_gif(frames: Iterator[np.ndarray], path: Path, fps: int) -> None:
    from PIL import Image  # which matplotlib comes with

    # Colours without dithering: what stays as it is takes no space.
    images = (Image.fromarray(frame).quantize(COLOURS, dither=Image.Dither.NONE) for frame in frames)
    milliseconds = round(1000 / fps)
    first = next(images)
    first.save(path, "GIF", save_all=True, append_images=images, duration=milliseconds, loop=0)


def _write_mp4(frames: Iterator[np.ndarray], path: Path, fps: int) -> None:
    from matplotlib.animation import FFMpegWriter
    from matplotlib.figure import Figure

    first = next(frames)
    height, width, _ = first.shape
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    shown = axes.imshow(first, aspect="auto", interpolation="nearest")
    writer = FFMpegWriter(fps=fps)
    with writer.saving(figure, str(path), DPI):
        for frame in itertools.chain([first], frames):
            shown.set_data(frame)
            writer.grab_frame()


def _at(replay: Replay, t: int) -> Series:
    return Series(*(np.asarray(x)[t] for x in replay.series))


def _title(title: str, name: str, replay: Replay, t: int) -> str:
    """The title of a picture: what is shown, by whom, when."""
    hours = (t + 1) * replay.delta_t
    clock = f"{hours:.4g} h"
    if replay.start_hour is not None:
        minutes = round(60 * (replay.start_hour + hours))
        clock = f"day {minutes // 1440 + 1}, {minutes % 1440 // 60:02d}:{minutes % 60:02d}"
    return ", ".join(part for part in (title, name, clock) if part)

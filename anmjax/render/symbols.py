"""The symbols of devices as matplotlib patches, those of the page. Lengths are in lengths of a branch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from anmjax.render.colours import Palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RADIUS = 0.14


class Reading(NamedTuple):
    """What a device does, as its symbol shows it; shares are from 0 to 1."""

    share: float = 0.0  # of its largest power
    could: float = 0.0  # of its largest power, what a generator could give
    charge: float = 0.0  # of a storage unit's room
    way: int = 0  # 1 gives, -1 takes, 0 rests


def draw_symbol(
    axes: Axes, kind: str, place: Any, reading: Reading, palette: Palette, *, size: float = 1.0
) -> None:
    """Draws the symbol of a device: its shell, filled as far as the device is used.

    Args:
      axes: with y down.
      kind: one of ``KINDS``.
      place: (2,) where.
      reading: what the device does.
      palette: the colours.
      size: how much larger than usual.
    """
    x, y = (float(one) for one in place)
    shell = {"facecolor": palette.back, "edgecolor": palette.ink, "linewidth": 0.9, "zorder": 5}
    radius = RADIUS * size
    if kind == "load":
        _triangle(axes, x, y, radius, **shell)
        _triangle(axes, x, y, radius * np.sqrt(reading.share), facecolor=palette.load, linewidth=0, zorder=6)
    elif kind in ("renewable", "generator"):
        _circle(axes, x, y, radius, **shell)
        could = {"facecolor": palette.could, "alpha": 0.55, "linewidth": 0, "zorder": 6}
        _circle(axes, x, y, radius * np.sqrt(reading.could), **could)
        given = {"facecolor": palette.given, "linewidth": 0, "zorder": 7}
        _circle(axes, x, y, radius * np.sqrt(reading.share), **given)
    elif kind == "storage":
        _battery(axes, x, y, size, reading, palette, shell)
    else:
        _rectangle(axes, x - radius, y - radius, 2 * radius, 2 * radius, **shell)
        for dx, dy in ((1, 1), (1, -1), (1, 0), (0, 1)):
            ends = np.array([-radius, radius])
            axes.plot(x + dx * ends, y + dy * ends, color=palette.ink, lw=0.9, zorder=6)


def _battery(
    axes: Axes, x: float, y: float, size: float, reading: Reading, palette: Palette, shell: dict[str, Any]
) -> None:
    height, width = 0.28 * size, 0.17 * size
    _rectangle(axes, x - 0.04 * size, y - height / 2 - 0.035 * size, 0.08 * size, 0.04 * size, **shell)
    _rectangle(axes, x - width / 2, y - height / 2, width, height, **shell)
    full = height * reading.charge
    charge = {"facecolor": palette.charge, "alpha": 0.75, "linewidth": 0, "zorder": 6}
    _rectangle(axes, x - width / 2, y + height / 2 - full, width, full, **charge)
    arm = 0.3 * width
    if reading.way:
        axes.plot([x - arm, x + arm], [y, y], color=palette.ink, lw=1.1, zorder=7)
    if reading.way < 0:
        axes.plot([x, x], [y - arm, y + arm], color=palette.ink, lw=1.1, zorder=7)


def _triangle(axes: Axes, x: float, y: float, radius: float, **style: Any) -> None:
    from matplotlib.patches import Polygon

    corners = np.array([[-1, -0.8], [1, -0.8], [0, 0.95]]) * radius + [x, y]
    axes.add_patch(Polygon(corners, closed=True, **style))


def _circle(axes: Axes, x: float, y: float, radius: float, **style: Any) -> None:
    from matplotlib.patches import Circle

    axes.add_patch(Circle((x, y), radius, **style))


def _rectangle(axes: Axes, x: float, y: float, width: float, height: float, **style: Any) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((x, y), width, height, **style))

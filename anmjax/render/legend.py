"""The legend of a diagram: what its colours and symbols mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from anmjax.render.colours import Colour, Palette
from anmjax.render.symbols import RADIUS, Reading, draw_symbol

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# What a symbol says, and what it is shown with.
SYMBOLS = {
    "slack": ("outer grid", Reading()),
    "load": ("load", Reading(share=0.6)),
    "renewable": ("renewable: given, possible", Reading(share=0.45, could=0.85)),
    "generator": ("generator: given, possible", Reading(share=0.45, could=0.85)),
    "storage": ("storage: charge, + charging", Reading(charge=0.6, way=-1)),
}
SIZE = 6.3  # points
CHARACTER = 0.6 * SIZE  # width of one
RAMP = 54  # width
STRIPES = 64  # of one
SYMBOL = 5.5  # points, radius
GAP = 9  # between two entries


def draw_legend(figure: Figure, kinds: Sequence[str], palette: Palette, height: float) -> None:
    """Draws the legend along the lower edge of a figure, in two rows.

    Args:
      figure: what it is drawn in.
      kinds: of the devices.
      palette: the colours.
      height: points that it may have.
    """
    width, whole = figure.get_size_inches() * 72
    axes = figure.add_axes((0, 0, 1, height / whole))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    x, y = 8.0, 0.26 * height
    voltages = [palette.low, palette.middle, palette.high]
    x = _ramp(axes, (x, y), palette, voltages, "bus: lowest allowed voltage", "highest")
    loadings = [palette.idle, palette.busy]
    _ramp(axes, (x, y), palette, loadings, "branch: 0 %", "100 % of its rating; red: above")
    x, y = 8.0, 0.72 * height
    for kind, (text, reading) in SYMBOLS.items():
        if kind in kinds:
            draw_symbol(axes, kind, (x + SYMBOL, y), reading, palette, size=SYMBOL / RADIUS)
            x = _write(axes, x + 2 * SYMBOL + 3, y, text, palette) + GAP


def _ramp(
    axes: Axes, at: tuple[float, float], palette: Palette, stops: list[Colour], before: str, after: str
) -> float:
    """A bar of colours between two words; returns where the next entry begins."""
    from matplotlib.collections import PolyCollection

    x, y = at
    x = _write(axes, x, y, before, palette) + 3
    along = np.linspace(0, len(stops) - 1, STRIPES)
    colours = np.stack([np.interp(along, range(len(stops)), part) for part in zip(*stops, strict=True)], 1)
    left, wide = x + RAMP * np.arange(STRIPES) / STRIPES, RAMP / STRIPES
    stripes = [[(a, y - 3.5), (a + wide, y - 3.5), (a + wide, y + 3.5), (a, y + 3.5)] for a in left]
    axes.add_collection(PolyCollection(stripes, facecolors=colours, edgecolors=colours, linewidths=0.2))
    return _write(axes, x + RAMP + 3, y, after, palette) + GAP


def _write(axes: Axes, x: float, y: float, text: str, palette: Palette) -> float:
    axes.text(x, y, text, size=SIZE, color=palette.soft, va="center", ha="left")
    return x + CHARACTER * len(text)

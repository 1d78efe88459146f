"""The colours of diagrams, those of the page: blue is low and orange high, for all kinds of colour vision."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np

Colour: TypeAlias = tuple[float, float, float]


def _rgb(text: str) -> Colour:
    return tuple(int(text[i : i + 2], 16) / 255 for i in (1, 3, 5))  # type: ignore[return-value]


class Palette(NamedTuple):
    """The colours of a diagram, red, green and blue from 0 to 1."""

    back: Colour
    ink: Colour
    soft: Colour  # of what is less important
    bad: Colour  # of what is outside its limits
    low: Colour  # the lowest allowed voltage
    middle: Colour
    high: Colour  # the highest
    idle: Colour  # a branch without load
    busy: Colour  # a branch at its rating
    load: Colour
    given: Colour  # what a generator gives
    could: Colour  # what it could give
    charge: Colour


LIGHT = Palette(
    back=_rgb("#ffffff"),
    ink=_rgb("#1c2430"),
    soft=_rgb("#5b6675"),
    bad=_rgb("#c63d00"),
    low=_rgb("#2166be"),
    middle=_rgb("#e2e6eb"),
    high=_rgb("#e6780a"),
    idle=_rgb("#acb6c2"),
    busy=_rgb("#4c146e"),
    load=_rgb("#55606e"),
    given=_rgb("#12795c"),
    could=_rgb("#b35c00"),
    charge=_rgb("#8a3f78"),
)
DARK = Palette(
    back=_rgb("#12161c"),
    ink=_rgb("#e6eaf0"),
    soft=_rgb("#9aa6b5"),
    bad=_rgb("#ff7a3d"),
    low=_rgb("#2166be"),
    middle=_rgb("#6e7884"),
    high=_rgb("#e6780a"),
    idle=_rgb("#606c7a"),
    busy=_rgb("#f0e178"),
    load=_rgb("#aab4c0"),
    given=_rgb("#3cc79b"),
    could=_rgb("#f0a23a"),
    charge=_rgb("#d991c3"),
)


def voltage_colours(palette: Palette, vm: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Colours of buses, (n, 3), from that of the lowest allowed voltage to that of the highest.

    Args:
      palette: the colours.
      vm: (n,) p.u., magnitudes.
      low: (n,) p.u., lowest allowed.
      high: (n,) p.u., highest allowed.
    """
    x = (2 * vm - low - high) / np.maximum(high - low, 1e-6)
    side = np.where(x[:, None] < 0, palette.low, palette.high)
    return _mixed(np.array(palette.middle), side, np.abs(x))


def loading_colours(palette: Palette, loading: np.ndarray) -> np.ndarray:
    """Colours of branches, (n, 3).

    Args:
      palette: the colours.
      loading: (n,) apparent power over the rating.
    """
    mixed = _mixed(np.array(palette.idle), np.array(palette.busy), loading)
    return np.where(loading[:, None] > 1.0001, palette.bad, mixed)


def _mixed(a: np.ndarray, b: np.ndarray, share: np.ndarray) -> np.ndarray:
    return a + (b - a) * np.clip(share, 0, 1)[:, None]

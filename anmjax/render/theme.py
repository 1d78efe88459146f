"""The look of plots: the colours of diagrams and pages, on a light or a dark ground."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from anmjax.render.colours import DARK, LIGHT, Palette

# Of lines, told apart by all kinds of colour vision: those of the page's charts.
LINES = ("#0a6aa8", "#b35c00", "#12795c", "#8a3f78", "#55606e", "#8a6d00", "#c63d00", "#3b8f3b")
LINES_ON_DARK = ("#56b4e9", "#f0a23a", "#3cc79b", "#d991c3", "#aab4c0", "#d9c24a", "#ff7a3d", "#9ad17f")


def palette_of(dark: bool) -> Palette:
    """The colours of a ground."""
    return DARK if dark else LIGHT


def themed(dark: bool) -> AbstractContextManager[Any]:
    """A context in which matplotlib's figures and axes are made for a ground.

    Raises:
      ImportError: matplotlib is not installed.
    """
    import matplotlib
    from cycler import cycler

    palette = palette_of(dark)
    return matplotlib.rc_context(
        {
            **dict.fromkeys(("figure.facecolor", "axes.facecolor"), palette.back),
            **dict.fromkeys(
                ("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), palette.ink
            ),
            **dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color", "grid.color"), palette.soft),
            "axes.prop_cycle": cycler(color=LINES_ON_DARK if dark else LINES),
            "axes.grid": True,
            "grid.alpha": 0.3,
            "legend.frameon": False,
            "legend.fontsize": 8,
            # Names are text, whatever is in them: no mathematics.
            "text.parse_math": False,
        }
    )

"""diagram: one state of a grid as a picture for papers, reports and ``rgb_array``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from anmjax.agents.replay import Series, moment_of
from anmjax.envs.records import State
from anmjax.grid.network import Network
from anmjax.render.colours import DARK, LIGHT
from anmjax.render.drawing import Drawing
from anmjax.render.legend import draw_legend
from anmjax.render.summary import outside_limits, summary

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEADER, FOOTER = 50, 32  # points above and below the grid
DPI = 100  # of a picture in pixels


def diagram(
    network: Network,
    state: State | Series,
    *,
    title: str = "",
    coordinates: Any = None,
    dark: bool = False,
    figsize: tuple[float, float] = (6.4, 4.8),
) -> Figure:
    """Draws a grid in one state.

    Buses are blue near their lowest allowed voltage and orange near their highest; branches are wider and
    darker the nearer they are to their rating, with an arrow in the direction of the active power. A ring
    marks a bus outside its limits, a broad red line a branch above its rating. Generators show what they give
    within what they could give, storage units their charge. Names and devices show where there is room.

    Args:
      network: the grid.
      state: of one lane of a task on it, or one moment of a ``Series``, without its axis of time.
      title: above all.
      coordinates: places of the buses, see ``page``; None: computed.
      dark: on a dark ground.
      figsize: inches, width and height.

    Returns:
      The figure: ``figure.savefig("grid.pdf")``, or .svg, writes all of it as lines and shapes.

    Raises:
      ImportError: matplotlib is not installed.
      ValueError: the coordinates have the wrong shape or are not finite.
    """
    return Picture(network, coordinates=coordinates, dark=dark, figsize=figsize).draw(state, title=title)


class Picture:
    """A grid that is laid out once and drawn in one state after the other."""

    def __init__(
        self,
        network: Network,
        *,
        coordinates: Any = None,
        dark: bool = False,
        figsize: tuple[float, float] = (6.4, 4.8),
    ) -> None:
        """Lays the grid out; arguments and errors are those of ``diagram``."""
        from matplotlib.figure import Figure

        self.network = jax.tree.map(np.asarray, network)
        self.palette = DARK if dark else LIGHT
        self._drawing = Drawing(self.network, coordinates, self.palette)
        self.figure = Figure(figsize=figsize, dpi=DPI, facecolor=self.palette.back)

    def draw(self, state: State | Series, *, title: str = "") -> Figure:
        """Draws a state in the place of the last one."""
        given = moment_of(self.network, state) if isinstance(state, State) else state
        moment = Series(*(np.asarray(x) for x in jax.device_get(given)))
        self.figure.clear()
        width, height = self.figure.get_size_inches() * 72
        self._header(moment, title, width, height)
        room = (width, height - HEADER - FOOTER)
        axes = self.figure.add_axes((0, FOOTER / height, 1, room[1] / height))
        self._drawing.draw(axes, moment, room)
        draw_legend(self.figure, self._drawing.kinds, self.palette, FOOTER)
        return self.figure

    def pixels(self, state: State | Series, *, title: str = "") -> np.ndarray:
        """A state as (height, width, 3) uint8: 480 by 640 unless ``figsize`` says otherwise."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        canvas = FigureCanvasAgg(self.draw(state, title=title))
        canvas.draw()
        return np.array(canvas.buffer_rgba())[..., :3]

    def _header(self, moment: Series, title: str, width: float, height: float) -> None:
        lines: tuple[tuple[str, int, dict[str, Any]], ...] = (
            (title, 14, {"size": 10.5, "weight": "bold", "color": self.palette.ink}),
            (summary(self.network, moment), 28, {"size": 7.5, "color": self.palette.soft}),
            (outside_limits(self.network, moment), 41, {"size": 7.5, "color": self.palette.bad}),
        )
        for text, down, style in lines:
            # Names are text, whatever is in them: no mathematics.
            self.figure.text(8 / width, 1 - down / height, text, parse_math=False, **style)

"""Drawing: buses, branches and devices of a grid, drawn by matplotlib as the page draws them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from anmjax.agents.replay import Series
from anmjax.grid.network import Network
from anmjax.render.colours import Palette, loading_colours, voltage_colours
from anmjax.render.elements import kinds_of, limits_shown, transformers
from anmjax.render.layout import layout
from anmjax.render.numbers import branch_numbers, device_numbers
from anmjax.render.summary import loading, voltage_sides
from anmjax.render.symbols import Reading, draw_symbol

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Lengths of a branch.
BUS_RADIUS, FONT, EDGE = 0.1, 0.22, 0.5
ARROW = np.array([[0.075, 0], [-0.055, 0.06], [-0.03, 0], [-0.055, -0.06]])
# Points that a length of a branch must have, for devices and names to be drawn, and for numbers.
ROOM_FOR_NAMES, ROOM_FOR_NUMBERS = 22, 62


class Drawing:
    """A grid in its place."""

    def __init__(self, net: Network, coordinates: Any, palette: Palette) -> None:
        """Lays the grid out.

        Raises:
          ValueError: the coordinates have the wrong shape or are not finite.
        """
        self.net, self.palette, self.kinds = net, palette, kinds_of(net)
        self.places = layout(net, coordinates)
        self._closed, self._transformer = np.asarray(net.in_service) > 0, transformers(net)
        widths = [len(str(name)) for name in net.bus_ids]
        sides = np.stack([0.24 + 0.065 * np.array(widths), np.full(net.n_bus, 0.25)], 1)
        self._name = self.places.bus + self.places.name * sides
        # Beyond the middle of a transformer there is room for an arrow.
        ahead = [0.78 if changes else 0.5 for changes in self._transformer]
        paths = zip(self.places.branch, ahead, strict=True)
        self._arrow = np.array([_middle(path, far) for path, far in paths]).reshape(-1, 4)
        self._loading = branch_numbers(self._arrow)
        everything = np.concatenate([self.places.bus, self.places.device, *self.places.branch])
        self._low, self._high = everything.min(0) - EDGE, everything.max(0) + EDGE

    @functools.cached_property
    def _power(self) -> np.ndarray:
        """Places of the numbers of devices, which take a while to find and are seen in small grids only."""
        return device_numbers(self.places, self._name, self._loading)

    def draw(self, axes: Axes, moment: Series, room: tuple[float, float]) -> None:
        """Draws a moment.

        Args:
          axes: empty, filled from edge to edge.
          moment: of NumPy arrays without their axis of time.
          room: points, width and height of the axes.
        """
        unit = float((np.array(room) / (self._high - self._low)).min())  # points of a length of a branch
        middle, half = (self._low + self._high) / 2, np.array(room) / unit / 2
        axes.set_xlim(middle[0] - half[0], middle[0] + half[0])
        axes.set_ylim(middle[1] + half[1], middle[1] - half[1])
        axes.set_axis_off()
        loads = loading(self.net, moment)
        self._wires(axes, loads)
        self._on_wires(axes, moment, loads, unit)
        self._buses(axes, moment, unit)
        if unit >= ROOM_FOR_NAMES:
            self._devices(axes, moment, unit)
            self._names(axes, unit)
        if moment.terminated:
            self._collapse(axes)

    def _wires(self, axes: Axes, loads: np.ndarray) -> None:
        from matplotlib.collections import LineCollection

        closed, palette = self._closed, self.palette
        paths = [np.asarray(path) for path in self.places.branch]

        def some(which: np.ndarray) -> list[np.ndarray]:
            return [path for path, is_one in zip(paths, which, strict=True) if is_one]

        alarm: dict[str, Any] = {"colors": [palette.bad], "linewidths": 9.4, "alpha": 0.33}
        axes.add_collection(LineCollection(some(loads > 1.0001), zorder=1, capstyle="round", **alarm))
        widths = 0.72 * (1.6 + 3.4 * np.minimum(loads, 1.4))
        wire = {"colors": loading_colours(palette, loads)[closed], "linewidths": widths[closed]}
        axes.add_collection(LineCollection(some(closed), zorder=2, joinstyle="round", **wire))
        dashed: dict[str, Any] = {"colors": [palette.soft], "linewidths": 0.9, "linestyles": [(0, (4, 4))]}
        axes.add_collection(LineCollection(some(~closed), zorder=2, **dashed))

    def _on_wires(self, axes: Axes, moment: Series, loads: np.ndarray, unit: float) -> None:
        """Arrows, windings of transformers and, where there is room, loadings."""
        from matplotlib.collections import PolyCollection

        arrows = []
        for k in np.flatnonzero(self._closed).tolist():
            place, along = self._arrow[k, :2], self._arrow[k, 2:]
            if self._transformer[k]:
                self._windings(axes, _middle(self.places.branch[k], 0.5)[:2], along)
            power = float(moment.p_from_mw[k])
            if abs(power) > 1e-6:
                arrows.append(place + _turned(ARROW, along * np.sign(power)))
            if unit >= ROOM_FOR_NUMBERS and loads[k]:
                text, bad = f"{100 * loads[k]:.0f} %", loads[k] > 1.0001
                self._text(axes, self._loading[k], text, 6.5, bad=bad, zorder=8)
        axes.add_collection(PolyCollection(arrows, facecolors=[self.palette.ink], linewidths=0, zorder=4))

    def _windings(self, axes: Axes, place: np.ndarray, along: np.ndarray) -> None:
        from matplotlib.patches import Circle

        for side, face in ((-1, self.palette.back), (1, "none")):
            circle = {"facecolor": face, "edgecolor": self.palette.ink, "linewidth": 0.9, "zorder": 3}
            axes.add_patch(Circle(tuple(place + 0.05 * side * along), 0.09, **circle))

    def _buses(self, axes: Axes, moment: Series, unit: float) -> None:
        from matplotlib.collections import PatchCollection
        from matplotlib.patches import Circle

        places, palette, alive = self.places.bus, self.palette, not moment.terminated
        colours = voltage_colours(palette, moment.vm, *limits_shown(self.net))
        faces = colours if alive else [palette.back]
        radius = max(BUS_RADIUS, min(2.3 / unit, 0.3))  # from afar they stay big enough to be seen
        sides = voltage_sides(self.net, moment)
        halos = [Circle(tuple(at), 1.75 * radius) for at, side in zip(places, sides, strict=True) if side]
        ring: dict[str, Any] = {"facecolors": "none", "edgecolors": [palette.bad], "linewidths": 2.5}
        axes.add_collection(PatchCollection(halos, zorder=5, **ring))
        dots = [Circle(tuple(at), radius) for at in places]
        dot: dict[str, Any] = {"facecolors": faces, "edgecolors": [palette.ink], "linewidths": 0.72}
        axes.add_collection(PatchCollection(dots, zorder=6, **dot))
        if unit < ROOM_FOR_NAMES:
            return
        for at, side in zip(places, sides, strict=True):
            if side:
                mark = "\N{BLACK UP-POINTING TRIANGLE}" if side > 0 else "\N{BLACK DOWN-POINTING TRIANGLE}"
                self._text(axes, at, mark, min(0.13 * unit, 9), bad=True, zorder=7)

    def _devices(self, axes: Axes, moment: Series, unit: float) -> None:
        for k, kind in enumerate(self.kinds):
            place, size = self.places.device[k], float(self.places.size[k])
            bus = self.places.bus[self.net.device_bus[k]]
            axes.plot(*zip(bus, place, strict=True), color=self.palette.soft, lw=0.72, zorder=3)
            draw_symbol(axes, kind, place, self._reading(k, moment), self.palette, size=size)
            if unit >= ROOM_FOR_NUMBERS and size == 1:
                text = f"{moment.p_mw[k]:.3g} MW".replace("-", "\N{MINUS SIGN}")
                self._text(axes, self._power[k], text, 6.5, zorder=8)

    def _reading(self, k: int, moment: Series) -> Reading:
        """What a device does; zero is exact only to the quantum of the numbers of a page."""
        net, base = self.net, float(self.net.base_mva)
        power, kind = float(moment.p_mw[k]), self.kinds[k]
        largest = float(-net.p_min[k] if kind == "load" else net.p_max[k]) * base
        usable = np.isfinite(largest) and largest > 0
        way = int(np.sign(power)) if abs(power) > 1e-3 * (largest if usable else 1) else 0

        def share(value: float) -> float:
            return float(np.clip(abs(value) / largest, 0, 1)) if usable and np.isfinite(value) else 0.0

        could = moment.potential_mw[net.generators.index(k)] if k in net.generators else 0.0
        charge = 0.0
        if k in net.storage:
            low, high = float(net.soc_min[k]) * base, float(net.soc_max[k]) * base
            soc = float(moment.soc_mwh[net.storage.index(k)])
            charge = float(np.clip((soc - low) / (high - low), 0, 1)) if high > low else 0.0
        return Reading(share(power), share(float(could)), charge, way)

    def _names(self, axes: Axes, unit: float) -> None:
        size = min(FONT * unit * 0.72, 9.5)
        for place, name in zip(self._name, self.net.bus_ids, strict=True):
            self._text(axes, place, str(name), size, zorder=9)

    def _collapse(self, axes: Axes) -> None:
        veil = {"facecolor": self.palette.back, "alpha": 0.65, "linewidth": 0}
        axes.text(
            0.5, 0.5, "the network has collapsed", color=self.palette.bad, size=16, weight="bold", zorder=11,
            ha="center", va="center", transform=axes.transAxes, bbox=veil | {"pad": 12},
        )  # fmt: skip

    def _text(
        self, axes: Axes, place: Any, text: str, size: float, *, zorder: int, bad: bool = False
    ) -> None:
        from matplotlib import patheffects

        colour, halo = self.palette.bad if bad else self.palette.ink, self.palette.back
        x, y = place
        written = axes.text(
            x, y, text, size=size, color=colour, ha="center", va="center", zorder=zorder, parse_math=False
        )
        written.set_path_effects([patheffects.withStroke(linewidth=1.6, foreground=halo)])


def _middle(path: np.ndarray, along: float) -> np.ndarray:
    """A place in the middle piece of a branch, and the direction there, (4,)."""
    k = (len(path) - 1) // 2
    a, b = path[k], path[k + 1]
    length = float(np.linalg.norm(b - a))
    return np.concatenate([a + along * (b - a), (b - a) / length if length else [1.0, 0.0]])


def _turned(points: np.ndarray, along: np.ndarray) -> np.ndarray:
    """Points turned so that x is along a direction."""
    return points @ np.array([[along[0], along[1]], [-along[1], along[0]]])

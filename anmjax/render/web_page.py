"""A page that replays rollouts on the diagram of their grid: one file, which loads nothing from elsewhere."""

from __future__ import annotations

import html
import json
from base64 import b64encode
from collections.abc import Mapping
from importlib import resources
from typing import Any

import numpy as np

from anmjax.agents.replay import Replay
from anmjax.grid.network import Network
from anmjax.projection.control_layout import ControlLayout
from anmjax.render.elements import kinds_of, transformers
from anmjax.render.layout import layout

SCRIPTS = ("vendor/uplot.js", "data.js", "symbols.js", "diagram.js", "charts.js", "main.js")
STYLES = ("vendor/uplot.css", "style.css")
# What a page may do: run and show what is in it, and load nothing.
CONTENT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
TOP_CODE = 65534  # of a quantised number; the one above it stands for what is not finite


class Page(str):
    """The HTML of a page, which notebooks show in a frame of its own."""

    def __repr__(self) -> str:
        return f"<page of {len(self):,} characters>"

    def _repr_html_(self) -> str:
        frame = 'width="100%" height="720" style="border: 0" title="replay"'
        return f'<iframe srcdoc="{html.escape(self)}" {frame}></iframe>'


def page(rollouts: Mapping[str, Replay], *, title: str = "", coordinates: Any = None) -> Page:
    """A page that plays rollouts side by side, by one clock.

    Numbers are kept to 1 / 65534 of the range that each quantity of each element has in its rollout.

    Args:
      rollouts: of the same grid and length, by name of the policy.
      title: of the page.
      coordinates: (n_bus, 2) places of the buses, x to the right and y up, or by bus id GeoJSON points, such
        as ``bus.geo`` of a pandapower net; None: computed.

    Returns:
      HTML, to be written as UTF-8; a notebook shows it.

    Raises:
      ValueError: there is no rollout, or they differ in grid, steps or length of a step; the coordinates have
        the wrong shape or are not finite.
    """
    check_rollouts(rollouts)
    first = next(iter(rollouts.values()))
    data = {
        "title": title,
        "delta_t": first.delta_t,
        "start_hour": first.start_hour,
        "lead": 1,  # steps from the start to the first moment
        "steps": len(first.series.e_loss),
        "network": described(first.network, coordinates),
        "policies": [
            {
                "name": name,
                "series": {key: quantised(values) for key, values in replay.series._asdict().items()},
            }
            for name, replay in rollouts.items()
        ],
    }
    return Page(document(data, title=title or "Replay"))


def document(
    data: dict[str, Any],
    *,
    title: str,
    scripts: tuple[str, ...] = SCRIPTS,
    content_policy: str = CONTENT_POLICY,
) -> str:
    """The HTML of a page: its template, style, scripts and data in one."""
    # A closing tag inside a name must not end the element that the data are in.
    text = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    files = resources.files("anmjax.render") / "page"
    parts = {
        "title": html.escape(title),
        "policy": content_policy,
        "style": "".join((files / name).read_text(encoding="utf-8") for name in STYLES),
        "script": "\n".join((files / name).read_text(encoding="utf-8") for name in scripts),
        "data": text,
    }
    template = (files / "page.html").read_text(encoding="utf-8")
    # Cut at the marks of the template, so that a mark inside a name stays text.
    pieces = template.split("@@")
    return "".join(parts[piece] if k % 2 else piece for k, piece in enumerate(pieces))


def quantised(values: np.ndarray) -> dict[str, Any]:
    """Columns as 16-bit whole numbers: ``low + step * code``; the code 65535 stands for what is not finite.

    Args:
      values: (T, n) or (T,).

    Returns:
      ``low`` and ``step``, n numbers each, and ``codes``, base64 of little-endian unsigned integers, column
      after column.
    """
    columns = np.asarray(values, float)
    columns = columns.reshape(len(columns), -1).T
    known = np.isfinite(columns)
    low = np.where(known, columns, np.inf).min(1, initial=np.inf)
    high = np.where(known, columns, -np.inf).max(1, initial=-np.inf)
    low, high = np.where(low <= high, low, 0), np.where(low <= high, high, 0)
    step = (high - low) / TOP_CODE
    scale = np.where(step > 0, step, 1)[:, None]
    codes = np.round(np.where(known, columns - low[:, None], 0) / scale)
    codes = np.where(known, codes, TOP_CODE + 1).astype("<u2")
    return {
        "low": rounded(low, 9),
        "step": rounded(step, 9),
        "codes": b64encode(codes.tobytes()).decode("ascii"),
    }


def rounded(values: Any, digits: int = 6) -> list[Any]:
    """Numbers to so many significant digits, None for what is not finite; nested as the array is."""
    array = np.asarray(values, float)
    if array.ndim > 1:
        return [rounded(row, digits) for row in array]
    return [float(f"{x:.{digits}g}") if np.isfinite(x) else None for x in array.tolist()]


def check_rollouts(rollouts: Mapping[str, Replay]) -> None:
    """Refuses rollouts that no one clock can play.

    Raises:
      ValueError: there is none, or they differ in grid, steps, or length of a step.
    """
    if not rollouts:
        raise ValueError("rollouts is empty, but a page needs at least one")
    names = list(rollouts)
    first = rollouts[names[0]]
    static = ("bus_ids", "from_bus", "to_bus", "device_ids", "device_bus", "device_kind")
    for name in names[1:]:
        other = rollouts[name]
        for field in static:
            if getattr(other.network, field) != getattr(first.network, field):
                raise ValueError(
                    f"rollouts {names[0]!r} and {name!r} are of different grids: {field} differs"
                )
        for field, ours, theirs in (
            ("steps", len(first.series.e_loss), len(other.series.e_loss)),
            ("delta_t", first.delta_t, other.delta_t),
            ("start_hour", first.start_hour, other.start_hour),
        ):
            if ours != theirs:
                raise ValueError(
                    f"{field} of rollout {name!r} is {theirs}, but that of {names[0]!r} is {ours}: they are "
                    "played by one clock"
                )


def described(net: Network, coordinates: Any = None) -> dict[str, Any]:
    """What stays the same all the time: the elements, their limits, and where they are drawn."""
    places, base = layout(net, coordinates), float(net.base_mva)
    return {
        "bus": {
            "id": net.bus_ids,
            "name": net.bus_names,
            "kv": rounded(net.base_kv),
            "v_min": rounded(net.v_min),
            "v_max": rounded(net.v_max),
            "slack": net.slacks,
            "at": rounded(places.bus, 4),
            "name_side": rounded(places.name, 3),
        },
        "branch": {
            "name": net.branch_names,
            "from": net.from_bus,
            "to": net.to_bus,
            "rating": rounded(np.asarray(net.rating) * base),
            "closed": (np.asarray(net.in_service) > 0).tolist(),
            "transformer": transformers(net).tolist(),
            "tap": rounded(net.tap),
            "shift_deg": rounded(np.rad2deg(net.shift)),
            "path": [rounded(points, 4) for points in places.branch],
        },
        "device": {
            "id": net.device_ids,
            "name": net.device_names,
            "bus": net.device_bus,
            "kind": kinds_of(net),
            "at": rounded(places.device, 4),
            "size": rounded(places.size, 3),
            "potential": _positions(net.generators, net.n_device),
            "charge": _positions(net.storage, net.n_device),
            "asked": _positions(tuple(ControlLayout.of(net).devices.tolist()), net.n_device),
            **{
                name: rounded(np.asarray(getattr(net, name)) * base)
                for name in ("p_min", "p_max", "q_min", "q_max", "soc_min", "soc_max")
            },
        },
    }


def _positions(devices: tuple[int, ...], n_device: int) -> list[int]:
    """For each device its position among some of them, -1 where it is not of them."""
    return [devices.index(k) if k in devices else -1 for k in range(n_device)]

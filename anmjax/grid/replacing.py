"""Checks of what ``Network.replace`` is given: shapes always, numbers where they are known.

A leaf may have batch axes before its own, for ``jax.vmap`` over networks. Under a transformation a leaf is a
tracer, whose shape is known and whose numbers are not; in trees that are made of a network, such as one of
axes, it is anything at all, and is left alone.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, TypeAlias, TypeVar

import numpy as np

from anmjax.grid import tables
from anmjax.grid.faults import Fault, NetworkError

# Its file imports this one.
Network: TypeAlias = Any

OF_BUSES = ("base_kv", "v_max", "v_min", "v_set", "g_shunt", "b_shunt", "p", "q")
OF_BRANCHES = ("r", "x", "g", "b", "rating", "tap", "shift", "in_service")
OF_DEVICES = (
    *("qp_ratio", "p_max", "p_min", "q_max", "q_min", "p_plus", "p_minus", "q_plus", "q_minus"),
    *("soc_max", "soc_min", "eff"),
)
# What a leaf has an entry for.
SIZES = {
    "base_mva": "network",
    **dict.fromkeys(OF_BUSES, "bus"),
    **dict.fromkeys(OF_BRANCHES, "branch"),
    **dict.fromkeys(OF_DEVICES, "device"),
    "slack_angle": "slack",
    **dict.fromkeys(("p_current", "q_current"), "current_load"),
}
# And one that a network may be without.
_SIZES = {
    **SIZES,
    **dict.fromkeys(("p_device", "q_device"), "device"),
    **dict.fromkeys(("p_fixed", "q_fixed"), "bus"),
}
STATIC = (
    "bus_ids",
    "slacks",
    "pv",
    "current_load_bus",
    "from_bus",
    "to_bus",
    "device_ids",
    "device_bus",
    "device_kind",
)
AS_LONG_AS = {
    **{"to_bus": "from_bus", "from_bus": "to_bus"},
    **dict.fromkeys(("device_bus", "device_kind"), "device_ids"),
}
FLOATS = ("float32", "float64")
MAY_BE_INFINITE = ("v_max", "rating", *OF_DEVICES[1:9])
SIGNS: dict[str, tuple[Any, str]] = {
    "base_mva": (lambda x: x > 0, "must be > 0"),
    "base_kv": (lambda x: x >= 0, "must be >= 0"),
    "v_set": (lambda x: x > 0, "must be > 0"),
    "rating": (lambda x: x >= 0, "must be >= 0"),
    "tap": (lambda x: x > 0, "must be > 0"),
    "soc_min": (lambda x: x >= 0, "must be >= 0"),
    "eff": (lambda x: (x > 0) & (x <= 1), "must be in (0, 1]"),
}
# Lower and upper limits.
PAIRS = (
    ("v_min", "v_max"),
    ("p_min", "p_max"),
    ("q_min", "q_max"),
    ("q_minus", "q_plus"),
    ("soc_min", "soc_max"),
)
KINDS = tuple(tables.ALL_DEVICE_KINDS)


_Class = TypeVar("_Class", bound=type)


def checked_replace(cls: _Class) -> _Class:
    """Makes ``replace`` of a network class refuse what does not fit, see ``check_replaced``."""
    unchecked = cls.replace  # type: ignore[attr-defined]

    @functools.wraps(unchecked)
    def replace(self: Network, **changes: Any) -> Network:
        new: Network = unchecked(self, **changes)
        check_replaced(self, new, changes)
        return new

    cls.replace = replace  # type: ignore[attr-defined]
    return cls


def floating(dtype: Any) -> np.dtype:
    """The type, one that networks compute in.

    Raises:
      ValueError: it is neither float32 nor float64.
    """
    try:
        own = np.dtype(dtype)
    except TypeError:
        own = None
    if own is None or str(own) not in FLOATS:
        raise ValueError(f"dtype is {own or dtype}, expected float32 or float64: networks compute in these")
    return own


def check_replaced(old: Network, new: Network, changes: Mapping[str, Any]) -> None:
    """Checks the fields of a network that were replaced.

    Args:
      old: the network as it was.
      new: as it is now.
      changes: the new fields by name.

    Raises:
      NetworkError: a field does not fit the network, or holds what no network may.
    """
    faults: list[Fault] = []
    _check_topology(new, changes, faults)
    if faults:
        raise NetworkError(faults)
    for name, value in changes.items():
        if name in _SIZES and _is_array(getattr(old, name)) and _fits(new, name, value, faults):
            x = _numbers(value)
            if x is not None:
                _check_numbers(new, name, x, faults)
    if not faults:
        _check_pairs(new, changes, faults)
    if faults:
        raise NetworkError(faults)


def _is_array(x: Any) -> bool:
    return hasattr(x, "shape") and hasattr(x, "dtype")


def _numbers(x: Any) -> np.ndarray | None:
    """The numbers of an array; None where they are not known, or there are none."""
    if not _is_array(x) and not isinstance(x, (bool, int, float)):
        return None
    try:
        array = np.asarray(x)
    except (TypeError, RuntimeError):  # a tracer; an array of other processes
        return None
    return array if array.dtype.kind in "fiub" else None


def _size(net: Network, of: str) -> int | None:
    """How many entries a field of these has; None: a single number."""
    if of == "network":
        return None
    return len(net.current_load_bus) if of == "current_load" else int(getattr(net, f"n_{of}"))


def _fits(net: Network, name: str, value: Any, faults: list[Fault]) -> bool:
    """Whether the last axis has an entry for each element, and the numbers are real."""
    size, before = _size(net, _SIZES[name]), len(faults)
    if isinstance(value, (str, list, tuple, dict, complex)):
        allowed = "must be a number" if size is None else f"must be an array of shape ({size},)"
        faults.append(Fault("network", name, value, allowed))
    elif _is_array(value) or isinstance(value, (int, float)):
        shape, dtype = tuple(np.shape(value)), str(getattr(value, "dtype", "float64"))
        alone = _SIZES[name] == "slack" and size == 1 and shape == ()  # the angle of the only slack
        if size is not None and shape[-1:] != (size,) and not alone:
            allowed = f"must be (n_{_SIZES[name]},) = ({size},), batch axes before it"
            faults.append(Fault("network", f"shape of {name}", shape, allowed))
        if not dtype.startswith((*FLOATS, "int", "uint", "bool")):
            faults.append(Fault("network", f"dtype of {name}", dtype, "must be float32 or float64"))
    return len(faults) == before


def _check_numbers(net: Network, name: str, x: np.ndarray, faults: list[Fault]) -> None:
    """Every number is one, finite where it has to be, and of the right sign."""
    infinite_too = name in MAY_BE_INFINITE
    fits = ~np.isnan(x) if infinite_too else np.isfinite(x)
    allowed = "must be a number or infinite" if infinite_too else "must be a finite number"
    if fits.all() and name in SIGNS:
        rule, allowed = SIGNS[name]
        fits = rule(x)
        if name == "eff":
            fits = fits | ~_of_storage(net)
    _say_first(net, name, x, fits, allowed, faults)


def _of_storage(net: Network) -> np.ndarray:
    return np.array([kind == tables.STORAGE for kind in net.device_kind], bool)


def _check_pairs(net: Network, changes: Mapping[str, Any], faults: list[Fault]) -> None:
    """Lower limits are not above upper ones, and a branch has an impedance."""
    for low, high in PAIRS:
        both = _both(net, low, high) if low in changes or high in changes else None
        if both is not None:
            fits = both[0] <= both[1]
            if low == "v_min":  # slacks hold their own
                fits = fits | np.isin(np.arange(net.n_bus), net.slacks)
            if low in changes:
                _say_first(net, low, both[0], fits, f"must be <= {high}", faults)
            else:
                _say_first(net, high, both[1], fits, f"must be >= {low}", faults)
    both = _both(net, "r", "x") if "r" in changes or "x" in changes else None
    if both is not None:
        name, other = ("x", "r") if "x" in changes else ("r", "x")
        fits = (both[0] != 0) | (both[1] != 0)
        _say_first(net, name, np.zeros(fits.shape), fits, f"must not be 0 where {other} is 0", faults)


def _both(net: Network, a: str, b: str) -> list[np.ndarray] | None:
    """Two fields side by side; None where they are not known, or one has yet to follow the other in size."""
    x, y = _numbers(getattr(net, a)), _numbers(getattr(net, b))
    if x is None or y is None:
        return None
    try:
        return list(np.broadcast_arrays(x, y))
    except ValueError:
        return None


def _say_first(
    net: Network, name: str, x: np.ndarray, fits: np.ndarray, allowed: str, faults: list[Fault]
) -> None:
    """Names the first entry that does not fit, and how many more do not."""
    wrong = np.argwhere(~np.asarray(fits))
    if not len(wrong):
        return
    place = tuple(wrong[0])
    more = f" ({len(wrong)} entries are not)" if len(wrong) > 1 else ""
    batch = f", lane {', '.join(map(str, place[:-1]))}" if len(place) > 1 else ""
    faults.append(Fault(_element(net, name, place) + batch, name, x[place].item(), allowed + more))


def _element(net: Network, name: str, place: tuple[Any, ...]) -> str:
    """What an entry belongs to."""
    of = _SIZES[name]
    if of == "network" or not place:
        return "network"
    i = int(place[-1])
    if of in ("slack", "current_load"):
        buses = net.slacks if of == "slack" else net.current_load_bus
        return f"{of.replace('_', ' ')} at bus {net.bus_ids[buses[i]]}"
    if of == "branch":
        ends = (net.bus_ids[bus] for bus in (net.from_bus[i], net.to_bus[i]))
        return f"branch {'-'.join(map(str, ends))} (row {i})"
    return f"{of} {(net.bus_ids if of == 'bus' else net.device_ids)[i]}"


def _check_topology(net: Network, changes: Mapping[str, Any], faults: list[Fault]) -> None:
    """Static fields are tuples of whole numbers that refer to what there is."""
    buses = f"must be in 0 .. {len(net.bus_ids) - 1}, a position of a bus"
    for name in STATIC:
        if name not in changes:
            continue
        value = changes[name]
        if not isinstance(value, tuple) or not all(_is_whole(i) for i in value):
            faults.append(Fault("network", name, value, "must be a tuple of whole numbers"))
            continue
        other = AS_LONG_AS.get(name, name)
        if len(value) != len(getattr(net, other)):
            allowed = f"must be as long as {other}, {len(getattr(net, other))}"
            faults.append(Fault("network", f"length of {name}", len(value), allowed))
        if name == "slacks" and not value:
            faults.append(Fault("network", name, value, "must name one bus or more"))
        for i, entry in enumerate(value):
            if name.endswith("_ids") or name == "slacks":
                fits, allowed = i == 0 or value[i - 1] < entry, "must be greater than the one before it"
                if name == "slacks" and not 0 <= entry < len(net.bus_ids):
                    fits, allowed = False, buses
            elif name == "device_kind":
                fits, allowed = entry in KINDS, f"must be one of {', '.join(map(str, KINDS))}"
            else:
                fits, allowed = 0 <= entry < len(net.bus_ids), buses
            if not fits:
                faults.append(Fault("network", f"{name}[{i}]", entry, allowed))
                break
    if not faults and ("from_bus" in changes or "to_bus" in changes):
        for i, (f, t) in enumerate(zip(net.from_bus, net.to_bus, strict=True)):
            if f == t:
                faults.append(Fault("network", f"to_bus[{i}]", t, "must differ from from_bus"))
                break


def _is_whole(x: Any) -> bool:
    return isinstance(x, (int, np.integer)) and not isinstance(x, bool)

"""Checks the tables of a pandapower net, and leaves in them what pandapower can convert."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np

from anmjax.grid.faults import Fault
from anmjax.grid.pandapower_net.names import element_name
from anmjax.grid.pandapower_net.tables import (
    BRANCHES,
    BUSES,
    FLAGS,
    NUMBERS,
    SWITCHED,
    WORDS,
    number_columns,
    required_columns,
)

Table: TypeAlias = Any  # a pandas.DataFrame, which this package does not depend on
Found: TypeAlias = tuple[Any, str, object, str]  # index, column, value, what it must be

# pandapower makes arrays as long as the largest index.
_LARGEST_INDEX = 10_000_000
_CONVERT = "pandapower.convert_format(net) brings a net of an earlier version up to date"


def find_broken_tables(net: Any, empty: Any) -> Iterator[Fault]:
    """Finds tables, columns and indices that are missing or of no use.

    Args:
      net: the net.
      empty: a net without elements, as the installed pandapower makes it.
    """
    for name in ("sn_mva", "f_hz"):
        value: Any = net.get(name)
        if not _is_number(value) or not 0 < value < np.inf:
            yield Fault("network", name, value, "must be a finite number > 0")
    if not isinstance(net.get("user_pf_options", {}), dict):
        yield Fault("network", "user_pf_options", net["user_pf_options"], "must be a dict")
    for name in (name for name, table in empty.items() if hasattr(table, "columns") and name[0] != "_"):
        if name.startswith("res_"):
            continue
        if not hasattr(net.get(name), "columns"):
            yield Fault("network", name, "no table", f"must be one: {_CONVERT}")
        elif len(net[name]) > 0 and name in NUMBERS:
            yield from _find_broken_columns(net[name], name, set(empty[name]))
            yield from _find_broken_index(net[name], name)
        elif name == "bus" and len(net[name]) == 0:
            yield Fault("network", "bus", "without a row", "must have one for each bus")


def _find_broken_columns(table: Table, name: str, known: set[str]) -> Iterator[Fault]:
    columns = list(table.columns)
    for column in required_columns(name):
        if column not in columns and column in known:
            yield Fault("network", f"{name}.{column}", "no column", f"must be one: {_CONVERT}")
    for column in dict.fromkeys(c for c in columns if columns.count(c) > 1):
        yield Fault("network", f"{name}.{column}", f"{columns.count(column)} columns", "must be one")


def _find_broken_index(table: Table, name: str) -> Iterator[Fault]:
    seen: set[object] = set()
    for index in table.index:
        if not isinstance(index, (int, np.integer)) or isinstance(index, bool):
            yield Fault("network", f"{name}.index", index, "must be an integer")
        elif not 0 <= index < _LARGEST_INDEX:
            yield Fault("network", f"{name}.index", index, f"must be from 0 to {_LARGEST_INDEX - 1}")
        elif index in seen:
            yield Fault("network", f"{name}.index", index, "must be unique")
        seen.add(index if isinstance(index, (int, np.integer)) else None)


def tidy(net: Any, empty: Any) -> list[Fault]:
    """Finds faults of what is in service, and leaves out what is out of service and faulty.

    Args:
      net: a net without broken tables. It is changed: numbers become floats, answers booleans.
      empty: a net without elements; its tables replace those without rows.

    Returns:
      What is wrong with the elements that have a part in the power flow.
    """
    found: dict[str, list[Found]] = {}
    for name in NUMBERS:
        if len(net[name]) == 0:
            net[name] = empty[name].copy()
            continue
        readers = (_read_flags, _read_references, _read_numbers, _read_words, _find_joint_faults)
        found[name] = [one for read in readers for one in read(net, name)]
    faults = []
    spared: dict[str, list[Any]] = {}
    for name, all_found in found.items():
        matters = dict(zip(net[name].index, _matters(net, name), strict=True)) if all_found else {}
        for index, column, value, allowed in all_found:
            if matters[index]:
                element = element_name(net, name, index)
                faults.append(Fault(element, column, value, f"must be {allowed}"))
        spared[name] = [one[0] for one in all_found if not matters[one[0]]]
    for name, indices in spared.items():
        if name == "bus":
            net.bus.loc[indices, "vn_kv"] = 1.0  # nothing in service is there: any voltage will do
        elif indices:
            net[name] = net[name].drop(index=indices)
    for et, kind in SWITCHED.items():
        if spared.get(kind) and kind != "bus":
            on_spared = (net.switch.et == et) & net.switch.element.isin(spared[kind])
            net.switch = net.switch[~on_spared]
    return faults


def _read_flags(net: Any, name: str) -> Iterator[Found]:
    """Makes booleans of columns that say yes or no."""
    table = net[name]
    for column in FLAGS[name]:
        if table[column].dtype == bool:
            continue
        values = table[column].to_numpy(object)
        readable = np.array([_is_number(value) and value in (0, 1) for value in values], bool)
        # What says neither counts as yes, so that its fault is reported.
        answers = [bool(value) if ok else True for value, ok in zip(values, readable, strict=True)]
        table[column] = np.array(answers, bool)
        for k in np.flatnonzero(~readable).tolist():
            yield table.index[k], column, values[k], "True or False"


def _read_references(net: Any, name: str) -> Iterator[Found]:
    """Finds elements at buses that do not exist, which pandapower would leave out or put elsewhere."""
    table = net[name]
    references = [(column, "bus", table[column]) for column in BUSES[name]]
    if name == "switch":
        references += [("element", kind, table.element[table.et == et]) for et, kind in SWITCHED.items()]
    for column, kind, values in references:
        known = set(net[kind].index)
        for index, value in values.items():
            if not (_is_number(value) and value in known):
                yield index, column, value, f"the index of a {kind}"
    for column in dict.fromkeys(column for column, _, _ in references):
        if table[column].dtype.kind not in "iu":
            table[column] = np.array([_as_index(value) for value in table[column]], np.int64)


def _read_numbers(net: Any, name: str) -> Iterator[Found]:
    table = net[name]
    for rule, column in number_columns(table, name):
        given = table[column]
        if isinstance(given.dtype, np.dtype) and given.dtype.kind in "fiu":
            values, readable = given.to_numpy(np.float64), np.ones(len(given), bool)
        else:
            readable = np.array([_is_number(cell) or _is_empty(cell) for cell in given], bool)
            values = np.array([_as_float(cell) for cell in given], np.float64)
            table[column] = values
        for k in np.flatnonzero(~readable | ~rule.holds(values)).tolist():
            yield table.index[k], column, given.iloc[k], rule.allowed


def _read_words(net: Any, name: str) -> Iterator[Found]:
    table = net[name]
    for column, words in WORDS.get(name, {}).items():
        for index, value in table[column].items() if column in table else ():
            known = isinstance(value, str) and value in words
            # pandapower's own functions leave "nan" in a column of words.
            empty = _is_empty(value) or (isinstance(value, str) and value in ("", "nan", "None"))
            if not known and (column == "et" or not empty):
                yield index, column, value, f"one of {', '.join(words)}"


def _find_joint_faults(net: Any, name: str) -> Iterator[Found]:
    """Finds what only several columns together say."""
    table = net[name]
    if name in ("trafo", "trafo3w"):
        yield from _find_transformer_faults(table)
    if name == "switch":
        yield from _find_switch_faults(net, table)
    for of in ("p_percent", "q_percent", "percent") if name == "load" else ():
        if f"const_z_{of}" in table and f"const_i_{of}" in table:
            together = table[f"const_z_{of}"] + table[f"const_i_{of}"]
            for index, value in together[together > 100].items():
                yield index, f"const_z_{of} + const_i_{of}", value, "at most 100"


def _find_transformer_faults(table: Table) -> Iterator[Found]:
    """Short-circuit voltages, where no table of the tap changer has others, and ideal phase shifters."""
    tabular = table.get("tap_dependency_table", np.zeros(len(table), bool))
    fixed = np.array([_is_empty(answer) or not answer for answer in tabular], bool)
    for of in (of for of in ("percent", "hv_percent", "mv_percent", "lv_percent") if f"vk_{of}" in table):
        total, real = (table[f"{name}_{of}"].to_numpy() for name in ("vk", "vkr"))
        for k in np.flatnonzero(fixed & ~(np.isfinite(total) & (total != 0))).tolist():
            yield table.index[k], f"vk_{of}", total[k], "a finite number, not 0"
        for k in np.flatnonzero(fixed & ~(np.abs(real) <= np.abs(total))).tolist():
            yield table.index[k], f"vkr_{of}", real[k], f"a finite number, no more than vk_{of}"
    for t in ("", "2"):
        if not {f"tap{t}_changer_type", f"tap{t}_side", f"tap{t}_pos", f"tap{t}_neutral"} <= set(table):
            continue
        ideal = (table[f"tap{t}_changer_type"] == "Ideal") & table[f"tap{t}_side"].notna() & fixed
        for column in (f"tap{t}_pos", f"tap{t}_neutral"):
            for index, value in table.loc[ideal & table[column].isna(), column].items():
                yield index, column, value, "a number, for an ideal phase shifter"


def _find_switch_faults(net: Any, table: Table) -> Iterator[Found]:
    for index, value in table.z_ohm[(table.et == "b") & table.z_ohm.isna()].items():
        yield index, "z_ohm", value, "a number: 0 joins the buses"
    for et, kind in SWITCHED.items():
        rows = table[(table.et == et) & table.element.isin(net[kind].index)]
        if et == "b" or len(rows) == 0:
            continue
        ends = net[kind].loc[rows.element, list(BUSES[kind])].to_numpy()
        for k in np.flatnonzero(~(ends == rows.bus.to_numpy()[:, None]).any(1)).tolist():
            allowed = f"an end of {element_name(net, kind, rows.element.iloc[k])}"
            yield rows.index[k], "bus", rows.bus.iloc[k], allowed


def _matters(net: Any, name: str) -> np.ndarray:
    """Rows that have a part in the power flow, (n_rows,) bool."""
    table = net[name]
    if name == "switch":
        # One at a branch says something where it is open, and the branch in service.
        live = table.closed & (table.et == "b")
        for et, kind in SWITCHED.items():
            if et != "b" and len(net[kind]):
                dead = net[kind].index[~net[kind].in_service]
                live |= ~table.closed & (table.et == et) & ~table.element.isin(dead)
        return (live | ~table.et.isin(list(SWITCHED))).to_numpy()
    live = table.in_service.to_numpy()
    if name == "bus":
        for kind in (kind for kind in BRANCHES if len(net[kind])):
            used = net[kind].loc[net[kind].in_service, list(BUSES[kind])].to_numpy()
            live = live | table.index.isin(used.ravel())
    elif name not in BRANCHES and name != "dcline":
        live = live & ~table.bus.isin(net.bus.index[~net.bus.in_service]).to_numpy()
    return live


def _is_number(value: object) -> bool:
    return isinstance(value, (bool, int, float, np.bool_, np.integer, np.floating))


def _is_empty(value: object) -> bool:
    """None, NaN or pandas.NA."""
    nan = isinstance(value, (float, np.floating)) and value != value
    return value is None or nan or type(value).__name__ == "NAType"


def _as_float(value: Any) -> float:
    """NaN for what is no number."""
    try:
        return float(value) if _is_number(value) else np.nan
    except OverflowError:  # an integer of more than 308 digits
        return np.inf


def _as_index(value: Any) -> int:
    """-1 for what is no index."""
    return int(value) if _is_number(value) and abs(value) < _LARGEST_INDEX and value == int(value) else -1

"""What the tables of a pandapower net must hold before pandapower converts them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np


class Rule(NamedTuple):
    """What a number of a column may be."""

    allowed: str
    holds: Callable[[np.ndarray], np.ndarray]  # of numbers, NaN where the cell is empty


def _finite_and(holds: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda v: np.isfinite(v) & holds(v)


FINITE = Rule("a finite number", np.isfinite)
POSITIVE = Rule("a finite number > 0", _finite_and(lambda v: v > 0))
NOT_NEGATIVE = Rule("a finite number >= 0", _finite_and(lambda v: v >= 0))
NOT_ZERO = Rule("a finite number, not 0", _finite_and(lambda v: v != 0))
COSINE = Rule("in [-1, 1], and not 0", _finite_and(lambda v: (np.abs(v) <= 1) & (v != 0)))
SHARE = Rule("between 0 and 1", _finite_and(lambda v: (v > 0) & (v < 1)))
POSITIVE_OR_EMPTY = Rule("a finite number > 0, or empty", lambda v: np.isnan(v) | (np.isfinite(v) & (v > 0)))
ANY = Rule("a number, or empty", lambda v: np.ones(v.shape, bool))

_PHASES = "p_a_mw p_b_mw p_c_mw q_a_mvar q_b_mvar q_c_mvar scaling"
_CONSTANT = "const_z_p_percent const_i_p_percent const_z_q_percent const_i_q_percent"
_LIMITS = "min_p_mw max_p_mw min_q_mvar max_q_mvar"
_TAP = "tap_pos tap_neutral tap_step_percent tap_step_degree"
_CHANGERS = ("Ratio", "Symmetrical", "Ideal", "Tabular")

# Columns of numbers that the conversion reads, of every table that it reads.
NUMBERS: dict[str, list[tuple[Rule, str]]] = {
    "bus": [(POSITIVE, "vn_kv")],
    "line": [
        (NOT_NEGATIVE, "length_km"),
        (FINITE, "r_ohm_per_km x_ohm_per_km c_nf_per_km g_us_per_km"),
        (POSITIVE, "parallel"),
        (ANY, "max_i_ka df"),
    ],
    "trafo": [
        (POSITIVE, "sn_mva vn_hv_kv vn_lv_kv parallel df"),
        (FINITE, "pfe_kw i0_percent shift_degree"),
        (ANY, "vk_percent vkr_percent"),
    ],
    "trafo3w": [
        (POSITIVE, "sn_hv_mva sn_mv_mva sn_lv_mva vn_hv_kv vn_mv_kv vn_lv_kv"),
        (ANY, "vk_hv_percent vk_mv_percent vk_lv_percent vkr_hv_percent vkr_mv_percent vkr_lv_percent"),
        (FINITE, "pfe_kw i0_percent shift_mv_degree shift_lv_degree"),
    ],
    "impedance": [
        (POSITIVE, "sn_mva"),
        (FINITE, "rft_pu xft_pu rtf_pu xtf_pu gf_pu bf_pu gt_pu bt_pu"),
    ],
    "switch": [(ANY, "z_ohm")],
    "load": [(FINITE, f"p_mw q_mvar scaling {_CONSTANT}")],
    "asymmetric_load": [(FINITE, _PHASES)],
    "motor": [
        (FINITE, "pn_mech_mw loading_percent scaling"),
        (NOT_ZERO, "efficiency_percent"),
        (COSINE, "cos_phi"),
    ],
    "sgen": [(FINITE, "p_mw q_mvar scaling")],
    "asymmetric_sgen": [(FINITE, _PHASES)],
    "storage": [(FINITE, "p_mw q_mvar scaling")],
    "gen": [(POSITIVE, "vm_pu"), (FINITE, "p_mw scaling"), (ANY, "sn_mva slack_weight")],
    "ext_grid": [(POSITIVE, "vm_pu"), (FINITE, "va_degree"), (ANY, "slack_weight")],
    "shunt": [(FINITE, "p_mw q_mvar step"), (POSITIVE_OR_EMPTY, "vn_kv")],
    "ward": [(FINITE, "ps_mw qs_mvar pz_mw qz_mvar")],
    "xward": [
        (FINITE, "ps_mw qs_mvar pz_mw qz_mvar r_ohm x_ohm"),
        (POSITIVE, "vm_pu"),
        (ANY, "slack_weight"),
    ],
    "dcline": [
        (FINITE, "p_mw loss_percent loss_mw"),
        (POSITIVE, "vm_from_pu vm_to_pu"),
        (ANY, "max_p_mw min_q_from_mvar max_q_from_mvar min_q_to_mvar max_q_to_mvar"),
    ],
}
# Columns of numbers that it reads where they are there.
OPTIONAL_NUMBERS: dict[str, list[tuple[Rule, str]]] = {
    "bus": [(ANY, "min_vm_pu max_vm_pu")],
    "line": [(ANY, "max_loading_percent")],
    "trafo": [
        (ANY, f"max_loading_percent {_TAP} {_TAP.replace('tap_', 'tap2_')}"),
        (SHARE, "leakage_resistance_ratio_hv leakage_reactance_ratio_hv"),
    ],
    "trafo3w": [(ANY, f"max_loading_percent {_TAP}")],
    "load": [(FINITE, "const_z_percent const_i_percent")],  # of pandapower before 3.2
    "sgen": [(ANY, _LIMITS)],
    "gen": [(ANY, _LIMITS)],
}
# Columns that hold the index of a bus, or say yes or no.
BUSES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("line", "impedance", "dcline"), ("from_bus", "to_bus")),
    "trafo": ("hv_bus", "lv_bus"),
    "trafo3w": ("hv_bus", "mv_bus", "lv_bus"),
    **dict.fromkeys(("switch", "load", "asymmetric_load", "motor", "sgen", "asymmetric_sgen"), ("bus",)),
    **dict.fromkeys(("storage", "gen", "ext_grid", "shunt", "ward", "xward"), ("bus",)),
    "bus": (),
}
FLAGS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(NUMBERS, ("in_service",)),
    "switch": ("closed",),
    "gen": ("in_service", "slack"),
    "trafo3w": ("in_service", "tap_at_star_point"),
}
WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "switch": {"et": ("b", "l", "t", "t3")},
    "trafo": {
        **dict.fromkeys(("tap_side", "tap2_side"), ("hv", "lv")),
        **dict.fromkeys(("tap_changer_type", "tap2_changer_type"), _CHANGERS),
    },
    "trafo3w": {
        "tap_side": ("hv", "mv", "lv"),
        "tap_changer_type": _CHANGERS,
    },
}
BRANCHES = ("line", "trafo", "trafo3w", "impedance")
SWITCHED = {"b": "bus", "l": "line", "t": "trafo", "t3": "trafo3w"}


def required_columns(table: str) -> Iterator[str]:
    """Columns without which a table cannot be converted."""
    yield from BUSES[table]
    yield from FLAGS[table]
    for _, columns in NUMBERS[table]:
        yield from columns.split()
    if table == "switch":
        yield from ("element", "et")


def number_columns(table: Any, name: str) -> Iterator[tuple[Rule, str]]:
    """Columns of numbers of a table, with their rules: the optional ones where they are there."""
    for rule, columns in (*NUMBERS[name], *OPTIONAL_NUMBERS.get(name, ())):
        yield from ((rule, column) for column in columns.split() if column in table)

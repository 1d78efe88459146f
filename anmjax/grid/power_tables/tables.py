"""PowerTables: MATPOWER's bus, gen, branch and dcline tables, and what messages call their rows.

Columns and units are those of MATPOWER's case format, version 2: MW, MVAr, MVA, degrees, impedances in
p.u. on ``base_mva``.

Reference: R. D. Zimmerman and C. E. Murillo-Sanchez, MATPOWER User's Manual, Appendix B.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BUS_I, BUS_TYPE, PD, QD, GS, BS, BUS_AREA, VM, VA, BASE_KV, ZONE, VMAX, VMIN = range(13)
GEN_BUS, PG, QG, QMAX, QMIN, VG, MBASE, GEN_STATUS = range(8)
F_BUS, T_BUS, BR_R, BR_X, BR_B, RATE_A, RATE_B, RATE_C, TAP, SHIFT, BR_STATUS = range(11)
PQ, PV, REF, NONE = 1, 2, 3, 4

# What the import reads of every table; further columns are results and data of optimisations.
_BUS_COLUMNS = ("BUS_I", "BUS_TYPE", "PD", "QD", "GS", "BS", "BUS_AREA", "VM", "VA", "BASE_KV", "ZONE")
_BRANCH_COLUMNS = ("F_BUS", "T_BUS", "BR_R", "BR_X", "BR_B", "RATE_A", "RATE_B", "RATE_C", "TAP", "SHIFT")
_DC_ENDS = ("PF", "PT", "QF", "QT", "VF", "VT", "PMIN", "PMAX", "QMINF", "QMAXF", "QMINT", "QMAXT")
COLUMNS = {
    "bus": (*_BUS_COLUMNS, "VMAX", "VMIN"),
    "gen": ("GEN_BUS", "PG", "QG", "QMAX", "QMIN", "VG", "MBASE", "GEN_STATUS"),
    "branch": (*_BRANCH_COLUMNS, "BR_STATUS"),
    "dcline": ("F_BUS", "T_BUS", "BR_STATUS", *_DC_ENDS, "LOSS0", "LOSS1"),
}
_LISTED = 20  # ids that a message lists before it says "and so many more"


@dataclass(frozen=True)
class PowerTables:
    """A grid in MATPOWER's tables, as a file or another program gave them: nothing is checked yet.

    Optional tables are those for which MATPOWER has no columns, and its lines of direct current; None stands
    for a table of zeros, or without rows.
    """

    base_mva: object  # MVA
    bus: np.ndarray  # (n_bus, 13 or more)
    gen: np.ndarray  # (n_gen, 8 or more)
    branch: np.ndarray  # (n_branch, 11 or more)
    branch_g: np.ndarray  # (n_branch,) p.u., total shunt conductance
    branch_names: tuple[str, ...] = ()  # (n_branch,) what messages call them; () for "branch 4-5 (row 3)"
    auxiliary: frozenset[int] = frozenset()  # ids of buses that the user never saw, not worth a warning
    # (n_bus, 2) MW and MVAr that loads of constant current draw at 1 p.u. of voltage
    current_load: np.ndarray | None = None
    # (n_branch, 4) p.u., series resistance and reactance, total conductance and susceptance: what the to end
    # has more of than the from end
    asymmetry: np.ndarray | None = None
    dcline: np.ndarray | None = None  # (n_dcline, 17 or more)


def bus_name(number: float, row: int | None = None) -> str:
    """What messages call a bus."""
    return f"bus {int(number)}" if np.isfinite(number) else f"bus (row {row})"


def branch_name(source: PowerTables, row: int) -> str:
    """What messages call a branch."""
    if source.branch_names:
        return source.branch_names[row]
    f, t = source.branch[row, [F_BUS, T_BUS]].tolist()
    return f"branch {f:g}-{t:g} (row {row})"


def listing(ids: Sequence[float]) -> str:
    """Lists ids, the first few only where there are many."""
    text = ", ".join(str(int(i)) if float(i).is_integer() else f"{i:g}" for i in ids[:_LISTED])
    return text if len(ids) <= _LISTED else f"{text} and {len(ids) - _LISTED} more"

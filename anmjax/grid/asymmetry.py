"""BranchAsymmetry: what makes a branch a general two-port."""

from __future__ import annotations

from typing import Any, TypeAlias

from flax import struct

Array: TypeAlias = Any


@struct.dataclass
class BranchAsymmetry:
    """What each branch has more at its to end than at its from end.

    The current into the to end goes through the series impedance ``(r + asymmetry.r) + j (x + asymmetry.x)``,
    and half of ``(g + asymmetry.g) + j (b + asymmetry.b)`` leaks there; the from end has those without.
    """

    r: Array  # (n_branch,) p.u., of the series resistance
    x: Array  # (n_branch,) p.u., of the series reactance
    g: Array  # (n_branch,) p.u., of the total shunt conductance
    b: Array  # (n_branch,) p.u., of the total charging susceptance

"""What turns systems with the Jacobian of a network into systems with that of an outage of one branch.

The small matrices of ``outages.py``, of the four equations and the four unknowns at the ends of the branch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.lanes import phasor
from anmjax.lanes.gather import take
from anmjax.lanes.kernels import evaluated
from anmjax.powerflow.admittance import TwoPort, two_port
from anmjax.powerflow.connectivity import all_energised, bridges
from anmjax.powerflow.differences import Point, power, power_change
from anmjax.powerflow.elimination.plan import SolverPlan
from anmjax.powerflow.elimination.solver import LinearSolver
from anmjax.powerflow.equations import voltage
from anmjax.powerflow.inputs import Inputs
from anmjax.powerflow.jacobian import Jacobian, relative_change

# Unknowns up to which the inverse of J is made, once, whose columns W are made of: 150 MB.
MOST_UNKNOWNS = 6000


class Outages(NamedTuple):
    """Branches that are out, one a lane, in the plan's numbering.

    The four equations of an outage are P and Q of its from bus f, then of its to bus t; the four unknowns are
    ln |V| and angle of f, then of t.
    """

    branch: jax.Array  # (m,) int, its row
    ends: jax.Array  # (2, m) int, its from and to bus
    port: TwoPort  # its admittances, each (2, m)
    islanded: jax.Array  # (m,) bool, a bus has no path to a slack without it


class Correction(NamedTuple):
    """What turns systems with J into systems with J_k."""

    small: jax.Array  # (4, 4, m) (1 - D C)^-1 D
    first: jax.Array  # (4, m) W times this is the first update
    size: jax.Array  # (m,) how far that moves the ends


class Compensation(NamedTuple):
    """All of the above."""

    columns: jax.Array  # (2, n_unknown, 4, m) W
    outages: Outages
    correction: Correction

    def first(self) -> jax.Array:
        """The update that leads away from the intact network's solution, (2, n_unknown, m)."""
        return self._moved(self.correction.first)

    def solved(self, change: jax.Array) -> jax.Array:
        """J_k^-1 r of z = J^-1 r, both (2, n_unknown, m), changes of (ln |V|, angle)."""
        return change + self._moved(times(self.correction.small, unknowns_at(change, self.outages)))

    def _moved(self, weights: jax.Array) -> jax.Array:
        # Written out: XLA's CPU backend hands such a sum to a library that takes ten times as long.
        first, *others = (self.columns[:, :, k] * weights[k][None, None] for k in range(4))
        return sum(others, first)


class Columns(NamedTuple):
    """Columns of the inverse of J, as functions of outages."""

    of: Callable[[Outages], jax.Array]  # (2, n_unknown, 4, m) W: changes of (ln |V|, angle) by each equation
    among: Callable[[Outages], jax.Array]  # (4, 4, m) C = E' W


def outages_of(plan: SolverPlan, inputs: Inputs, branch: jax.Array, ends: np.ndarray) -> Outages:
    """The outages of some branches.

    Args:
      plan: solver plan.
      inputs: of the intact network, every leaf ``[component, 1]``.
      branch: (m,) int, rows of branches.
      ends: (2, n_branch) from and to buses of all branches, by bus index.
    """
    port = jax.tree.map(lambda y: y[:, branch, 0], two_port(inputs.branch))
    islanded = islanding(plan, inputs.branch.in_service[:, 0], branch, ends)
    return Outages(branch, jnp.asarray(plan.position[ends], jnp.int32)[:, branch], port, islanded)


def islanding(plan: SolverPlan, in_service: jax.Array, branch: jax.Array, ends: np.ndarray) -> jax.Array:
    """Which branches, (m,) rows, leave a bus without a path to a slack when they go out, (m,) bool."""

    def as_planned() -> jax.Array:
        return jnp.asarray(bridges(plan, ends))[branch] | (not plan.connected)

    def counted() -> jax.Array:
        out = jnp.arange(ends.shape[1], dtype=jnp.int32)[:, None] == branch[None]
        return ~all_energised(plan, jnp.where(out, 0, in_service[:, None]))

    return jax.lax.cond((in_service != 0).all(), as_planned, counted)


def columns_of(plan: SolverPlan, linear: LinearSolver, jac: Jacobian) -> Columns:
    """Columns of the inverse of a factorised Jacobian of one lane, all made at once where there is room."""
    n, dtype = plan.n_unknown, jac.v.dtype

    def solved(bus: jax.Array, equation: jax.Array) -> jax.Array:
        """Columns of the inverse, (2, n, lanes), zero for slacks."""
        lanes = jnp.arange(len(bus), dtype=jnp.int32)
        units = jnp.zeros((2, n, len(bus)), dtype).at[equation, bus, lanes]
        return relative_change(plan, linear, jac, units.set(1, mode="drop"))

    def every(outages: Outages) -> tuple[jax.Array, jax.Array]:
        m = len(outages.branch)
        kind = np.tile(np.repeat(np.arange(2, dtype=np.int32), m), 2)
        return jnp.repeat(outages.ends, 2, axis=0).reshape(-1), jnp.asarray(kind)

    def at_once(outages: Outages) -> jax.Array:
        return solved(*every(outages)).reshape(2, n, 4, -1)

    def among(outages: Outages) -> jax.Array:
        columns = at_once(outages)
        return jnp.stack([unknowns_at(columns[:, :, j], outages) for j in range(4)], 1)

    if 2 * n > MOST_UNKNOWNS:
        return Columns(at_once, among)
    every_bus, every_kind = np.tile(np.arange(n), 2), np.repeat(np.arange(2), n)
    inverse = solved(jnp.asarray(every_bus, jnp.int32), jnp.asarray(every_kind, jnp.int32))
    # Its columns as rows, which are copied whole, and one of zeros for equations of slacks.
    rows = jnp.concatenate([inverse.reshape(2 * n, 2 * n).T, jnp.zeros((1, 2 * n), dtype)])

    def numbers(outages: Outages) -> jax.Array:
        bus, equation = every(outages)
        return jnp.where(bus < n, equation * n + bus, 2 * n)

    def looked_up(outages: Outages) -> jax.Array:
        return evaluated(take)(rows, evaluated(numbers)(outages)).T.reshape(2, n, 4, -1)

    def looked_up_among(outages: Outages) -> jax.Array:
        of = numbers(outages).reshape(4, -1)
        found = rows[of[None], jnp.minimum(of, 2 * n - 1)[:, None]]
        return jnp.where((of < 2 * n)[:, None], found, 0)

    return Columns(looked_up, looked_up_among)


def _at_ends(x: jax.Array, ends: jax.Array) -> jax.Array:
    """Rows of the two ends of each lane's branch, (2, 2, m), of (2, n_bus, m or 1)."""
    return x[:, ends, 0 if x.shape[-1] == 1 else jnp.arange(x.shape[-1])]


def taken_at(outages: Outages, d: jax.Array) -> Point:
    """The voltages at the ends of each lane's branch, and the currents that it takes there, (2, 2, m)."""
    at = _at_ends(d, outages.ends)
    v = voltage(at)
    return Point(v, _taken(outages.port, at, v))


def taken_change(outages: Outages, at: Point, e: jax.Array) -> jax.Array:
    """By which the power changes that the branch of each lane takes at its ends, (2, 2, m) p.u.

    Args:
      outages: the outages.
      at: the ends, see ``taken_at``.
      e: (2, n_bus, m) p.u., change of the voltages.
    """
    own = _at_ends(e, outages.ends)
    return power_change(at, own, _taken(outages.port, own, own))


def less_taken(outages: Outages, sent: jax.Array, taken: jax.Array) -> jax.Array:
    """What the buses send, (2, n_bus, m), less what the branches take at their ends, (2, 2, m)."""
    lanes = jnp.arange(len(outages.branch), dtype=jnp.int32)
    return sent.at[:, outages.ends, lanes].add(-taken)


def _taken(port: TwoPort, d: jax.Array, v: jax.Array) -> jax.Array:
    """Currents at the ends of branches, (2, end, m), at phasors v, of which d have the same differences."""
    transfer, shunt = _by_end(port)
    return phasor.multiply(transfer, jnp.flip(d, 1) - d) + phasor.multiply(shunt, v)


def _by_end(port: TwoPort) -> tuple[jax.Array, jax.Array]:
    """Transfer and shunt admittances of branches, each (2, end, m)."""
    transfer = jnp.stack([port.transfer_from, port.transfer_to], 1)
    return transfer, jnp.stack([port.shunt_from, port.shunt_to], 1)


def correction_of(plan: SolverPlan, moved: jax.Array, outages: Outages, d: jax.Array) -> Correction:
    """What corrects for the outages at the intact network's solution.

    Args:
      plan: solver plan.
      moved: (4, 4, m) C.
      outages: the outages.
      d: (2, n_bus, 1) p.u., voltage deviations of the solution.
    """
    m, ends = len(outages.branch), outages.ends
    at, (transfer, _) = taken_at(outages, d), _by_end(outages.port)
    sent = power(at)
    # V_i conj(y_ij V_j), of the power what comes of the other end's voltage
    across = phasor.multiply(at.v, phasor.conj(phasor.multiply(transfer, jnp.flip(at.v, 1))))
    # Of a slack neither equations nor unknowns; of a PV bus the second equation holds as it is.
    free = ends < plan.n_unknown
    holds = jnp.asarray(np.append(plan.is_pv, np.zeros(plan.n_slack, bool)))[ends]
    row = jnp.stack([free, free & ~holds], 1).reshape(4, m)
    taken = jnp.where(row, jnp.swapaxes(sent, 0, 1).reshape(4, m), 0)
    # dS_i by ln |V_i|, angle_i, ln |V_j|, angle_j: 2 S_i - c, j c, c, -j c, with c = V_i conj(y_ij V_j).
    turned = jnp.stack([-across[1], across[0]])
    by = jnp.stack([2 * sent - across, turned, across, -turned])  # (4, 2, end, m)
    own = jnp.stack([by[:, :, 0], jnp.roll(by[:, :, 1], 2, axis=0)])  # (end, unknown, part, m)
    change = jnp.swapaxes(own, 1, 2).reshape(4, 4, m)
    change = jnp.where(row[:, None] & jnp.repeat(free, 2, axis=0)[None], change, 0)
    rough, moved = moved.dtype, moved.astype(d.dtype)
    matrix = jnp.eye(4, dtype=d.dtype)[:, :, None] - _matmul(change, moved)
    small = jnp.moveaxis(jnp.linalg.solve(*(jnp.moveaxis(x, 2, 0) for x in (matrix, change))), 0, 2)
    first = -taken - times(small, times(moved, taken))
    size = jnp.abs(times(moved, first)).max(0)
    return Correction(small.astype(rough), first.astype(rough), size)


def _matmul(x: jax.Array, y: jax.Array) -> jax.Array:
    return (x[:, :, None] * y[None]).sum(1)


def times(x: jax.Array, y: jax.Array) -> jax.Array:
    """Matrices (i, j, m) times vectors (j, m)."""
    return (x * y[None]).sum(1)


def unknowns_at(change: jax.Array, outages: Outages) -> jax.Array:
    """E' of (2, n_unknown, m): ln |V| and angle of the ends, (4, m); nothing moves at a slack."""
    n, ends = change.shape[1], outages.ends
    at = jnp.where((ends < n)[None], _at_ends(change, jnp.minimum(ends, n - 1)), 0)
    return jnp.swapaxes(at, 0, 1).reshape(4, -1)

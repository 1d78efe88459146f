"""What a power flow takes from a network, by bus index, and the equations that it makes of it."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.grid.network import Network
from anmjax.lanes import phasor
from anmjax.lanes.gather import take
from anmjax.powerflow.admittance import BranchParameters, Shunts, admittance
from anmjax.powerflow.connectivity import angles_of_slacks
from anmjax.powerflow.elimination.plan import SolverPlan, solver_plan
from anmjax.powerflow.equations import Equations, FurtherSlacks, given_of, polar_deviation


class Inputs(NamedTuple):
    """What a power flow depends on; every leaf ``[component, *batch]``, axes of size one are shared."""

    branch: BranchParameters
    shunts: Shunts
    v_set: jax.Array  # (n_bus, *batch) p.u., by bus index; that of PQ buses does not matter
    p: jax.Array  # (n_bus, *batch) p.u., active injections by bus index; those of slacks do not matter
    q: jax.Array  # (n_bus, *batch) p.u., reactive injections; those of slacks and PV buses do not matter
    start: jax.Array | None  # (2, n_bus, *batch) angle and excess to start from; None: flat
    base: jax.Array | None  # (2, n_bus, *batch) p and q near those of most lanes; None: Newton's method alone
    # (n_slack - 1, *batch) rad, angles held at slacks after the first, counted from its; None: there is one
    apart: jax.Array | None = None
    current: tuple[jax.Array, jax.Array] | None = None  # (n_bus, *batch) p.u., P and Q at 1 p.u. of voltage
    hold: jax.Array | None = (
        None  # (n_bus, *batch) bool, PV buses that hold their voltage, by lane; None: all
    )

    @property
    def s(self) -> jax.Array:
        """(2, n_bus, *batch) p.u., injections."""
        return phasor.stack(self.p, self.q)


def inputs_of(
    net: Network,
    p: jax.Array,
    q: jax.Array,
    *,
    start: jax.Array | None = None,
    base: jax.Array | None = None,
    hold: jax.Array | None = None,
) -> Inputs:
    """What the power flow of a network depends on, with leaves (n, *batch) as of ``Inputs``."""
    return Inputs(
        branch=branch_parameters(net),
        shunts=bus_shunts(net),
        v_set=jnp.asarray(net.v_set),
        p=p,
        q=q,
        start=start,
        base=base,
        apart=angles_apart(net),
        current=current_by_bus(net),
        hold=hold,
    )


def equations_of(plan: SolverPlan, inputs: Inputs) -> Equations:
    """The equations of a batch."""
    adm = admittance(plan, inputs.branch, inputs.shunts)
    excess = take(inputs.v_set, plan.order) - 1
    further = None
    if inputs.apart is not None:
        d = phasor.stack(*polar_deviation(inputs.apart, excess[plan.n_unknown + 1 :]))
        angle = jnp.concatenate([jnp.zeros_like(inputs.apart[:1]), inputs.apart])
        further = FurtherSlacks(d, angles_of_slacks(plan, inputs.branch.in_service, angle))
    hold = unknown_hold(plan, inputs.hold)
    given = given_of(plan, of_unknown(plan, inputs.s), excess, hold)
    return Equations(adm, excess, given, further, unknown_current(plan, inputs.current), hold)


def unknown_current(plan: SolverPlan, current: tuple[jax.Array, jax.Array] | None) -> jax.Array | None:
    """Loads of constant current in the plan's order, (2, n_unknown, *batch), of all by bus index."""
    return None if current is None else of_unknown(plan, phasor.stack(*current))


def unknown_hold(plan: SolverPlan, hold: jax.Array | None) -> jax.Array | None:
    """PV buses that hold their voltage in the plan's order, (n_unknown, *batch), of all by bus index."""
    return None if hold is None else take(hold, plan.order[: plan.n_unknown])


def of_unknown(plan: SolverPlan, x: jax.Array) -> jax.Array:
    """Buses but the slacks in the plan's order, (2, n_unknown, *batch), of all by bus index."""
    return take(x, plan.order[: plan.n_unknown], 1)


def network_plan(net: Network, pv: tuple[int, ...] = ()) -> SolverPlan:
    """Solver plan of a network's topology, with the given PV buses."""
    return solver_plan(net.n_bus, net.slacks, net.from_bus, net.to_bus, pv)


def branch_parameters(net: Network) -> BranchParameters:
    """Branch leaves of a network as JAX arrays."""
    return jax.tree.map(
        jnp.asarray, BranchParameters(*(getattr(net, name) for name in BranchParameters._fields))
    )


def bus_shunts(net: Network) -> Shunts:
    """Shunt leaves of a network as JAX arrays."""
    return Shunts(jnp.asarray(net.g_shunt), jnp.asarray(net.b_shunt))


def current_by_bus(net: Network) -> tuple[jax.Array, jax.Array] | None:
    """P and Q of the loads of constant current by bus, (n_bus, *batch) p.u."""
    if not net.current_load_bus:
        return None
    at = np.array(net.current_load_bus)

    def by_bus(x: jax.Array) -> jax.Array:
        return jnp.zeros((net.n_bus, *x.shape[1:]), x.dtype).at[at].add(x)

    return by_bus(jnp.asarray(net.p_current)), by_bus(jnp.asarray(net.q_current))


def angles_apart(net: Network) -> jax.Array | None:
    """Angles of the slacks after the first, counted from its, (n_slack - 1, *batch) rad."""
    if net.n_slack == 1:
        return None
    angle = jnp.asarray(net.slack_angle)
    return angle[1:] - angle[:1]

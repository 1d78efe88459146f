"""The solver's equations for lanes of one network, as the solver is given them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from anmjax import Network
from anmjax.powerflow.elimination.plan import SolverPlan
from anmjax.powerflow.equations import Equations
from anmjax.powerflow.inputs import (
    Inputs,
    branch_parameters,
    bus_shunts,
    current_by_bus,
    equations_of,
    network_plan,
)


def equations_for(net: Network, p: Any, q: Any) -> tuple[SolverPlan, Equations]:
    """Plan and equations of lanes that differ in their injections, (n_bus, lanes) each."""
    plan = network_plan(net, net.pv)
    shared = jax.tree.map(lambda x: jnp.asarray(x)[..., None], net)
    given = branch_parameters(shared), bus_shunts(shared), shared.v_set, jnp.asarray(p), jnp.asarray(q)
    return plan, equations_of(plan, Inputs(*given, None, None, current=current_by_bus(shared)))

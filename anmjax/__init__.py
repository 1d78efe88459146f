"""anmjax: vectorized, differentiable environments for active network management, in JAX.

import anmjax, jax

env = anmjax.make("ANM6Easy-v0")
keys = jax.random.split(jax.random.key(0), 4096)
states = jax.jit(jax.vmap(env.reset))(keys)
actions = jax.vmap(env.action_space.sample)(keys)
states = jax.jit(jax.vmap(env.step))(states, actions)
"""

from anmjax.envs import ANMEnv, Box, GridState, InitialState, State, transition
from anmjax.grid import (
    BranchAsymmetry,
    IgnoredFieldWarning,
    IsolatedBusWarning,
    Network,
    NetworkError,
    ReferenceBusWarning,
    SimplificationWarning,
    pandapower_bus_index,
)
from anmjax.powerflow import (
    BranchFlows,
    BranchQuantities,
    LossFactors,
    PowerFlow,
    Sensitivities,
    branch_flows,
    branch_loading,
    branch_losses,
    branch_quantities,
    island_losses,
    loss_factors,
    power_flow,
    sensitivities,
    slack_powers,
)
from anmjax.projection import QPSolution, SafeProjection, project_safe, solve_qp
from anmjax.tasks import make, register, registered_tasks
from anmjax.wrappers import (
    AutoReset,
    EpisodeStatistics,
    NormalizeObservation,
    NormalizeReward,
    SafeAction,
    TimeLimit,
    Wrapper,
)

__version__ = "0.1.0"

__all__ = [
    "ANMEnv",
    "AutoReset",
    "Box",
    "BranchAsymmetry",
    "BranchFlows",
    "BranchQuantities",
    "EpisodeStatistics",
    "GridState",
    "IgnoredFieldWarning",
    "InitialState",
    "IsolatedBusWarning",
    "LossFactors",
    "Network",
    "NetworkError",
    "NormalizeObservation",
    "NormalizeReward",
    "PowerFlow",
    "QPSolution",
    "ReferenceBusWarning",
    "SimplificationWarning",
    "SafeAction",
    "SafeProjection",
    "Sensitivities",
    "State",
    "TimeLimit",
    "Wrapper",
    "branch_flows",
    "branch_loading",
    "branch_losses",
    "branch_quantities",
    "island_losses",
    "loss_factors",
    "make",
    "pandapower_bus_index",
    "power_flow",
    "project_safe",
    "register",
    "registered_tasks",
    "sensitivities",
    "slack_powers",
    "solve_qp",
    "transition",
]

"""anmjax: vectorized, differentiable environments for active network management, in JAX.

import anmjax, jax

env = anmjax.make("ANM6Easy-v0")
keys = jax.random.split(jax.random.key(0), 4096)
states = jax.jit(jax.vmap(env.reset))(keys)
actions = jax.vmap(env.action_space.sample)(keys)
states = jax.jit(jax.vmap(env.step))(states, actions)

The public names are loaded on first use: the command line answers before JAX has started.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anmjax.adapters import ContractError as ContractError
    from anmjax.adapters import Rollout as Rollout
    from anmjax.adapters import check_env as check_env
    from anmjax.adapters import rollout as rollout
    from anmjax.agents import load_policy as load_policy
    from anmjax.agents import plan as plan
    from anmjax.envs import ANMEnv as ANMEnv
    from anmjax.envs import Box as Box
    from anmjax.envs import GridState as GridState
    from anmjax.envs import InitialState as InitialState
    from anmjax.envs import State as State
    from anmjax.envs import transition as transition
    from anmjax.grid import BranchAsymmetry as BranchAsymmetry
    from anmjax.grid import EVCharger as EVCharger
    from anmjax.grid import FlexibleLoad as FlexibleLoad
    from anmjax.grid import Generator as Generator
    from anmjax.grid import IgnoredFieldWarning as IgnoredFieldWarning
    from anmjax.grid import IsolatedBusWarning as IsolatedBusWarning
    from anmjax.grid import Load as Load
    from anmjax.grid import Network as Network
    from anmjax.grid import NetworkError as NetworkError
    from anmjax.grid import ReferenceBusWarning as ReferenceBusWarning
    from anmjax.grid import Renewable as Renewable
    from anmjax.grid import SetPointWarning as SetPointWarning
    from anmjax.grid import Shunt as Shunt
    from anmjax.grid import SimplificationWarning as SimplificationWarning
    from anmjax.grid import Storage as Storage
    from anmjax.grid import Switch as Switch
    from anmjax.grid import TapChanger as TapChanger
    from anmjax.grid import pandapower_bus_index as pandapower_bus_index
    from anmjax.powerflow import BranchFlows as BranchFlows
    from anmjax.powerflow import BranchQuantities as BranchQuantities
    from anmjax.powerflow import Contingencies as Contingencies
    from anmjax.powerflow import LossFactors as LossFactors
    from anmjax.powerflow import PowerFlow as PowerFlow
    from anmjax.powerflow import Sensitivities as Sensitivities
    from anmjax.powerflow import branch_flows as branch_flows
    from anmjax.powerflow import branch_loading as branch_loading
    from anmjax.powerflow import branch_losses as branch_losses
    from anmjax.powerflow import branch_quantities as branch_quantities
    from anmjax.powerflow import contingency_analysis as contingency_analysis
    from anmjax.powerflow import island_losses as island_losses
    from anmjax.powerflow import line_outage_distribution_factors as line_outage_distribution_factors
    from anmjax.powerflow import loss_factors as loss_factors
    from anmjax.powerflow import power_flow as power_flow
    from anmjax.powerflow import screened_loading as screened_loading
    from anmjax.powerflow import sensitivities as sensitivities
    from anmjax.powerflow import slack_powers as slack_powers
    from anmjax.projection import SafeProjection as SafeProjection
    from anmjax.projection import project_safe as project_safe
    from anmjax.qp import QPSolution as QPSolution
    from anmjax.qp import solve_qp as solve_qp
    from anmjax.tasks import GridTask as GridTask
    from anmjax.tasks import MissingLimitsWarning as MissingLimitsWarning
    from anmjax.tasks import ProfileError as ProfileError
    from anmjax.tasks import Profiles as Profiles
    from anmjax.tasks import make as make
    from anmjax.tasks import randomise as randomise
    from anmjax.tasks import register as register
    from anmjax.tasks import registered_tasks as registered_tasks
    from anmjax.wrappers import AutoReset as AutoReset
    from anmjax.wrappers import EpisodeStatistics as EpisodeStatistics
    from anmjax.wrappers import ExploringStarts as ExploringStarts
    from anmjax.wrappers import MultiAgent as MultiAgent
    from anmjax.wrappers import NormalizeObservation as NormalizeObservation
    from anmjax.wrappers import NormalizeReward as NormalizeReward
    from anmjax.wrappers import SafeAction as SafeAction
    from anmjax.wrappers import TimeLimit as TimeLimit
    from anmjax.wrappers import Wrapper as Wrapper

__version__ = "0.1.0"

_NAMES = {
    "adapters": ("ContractError", "Rollout", "check_env", "rollout"),
    "agents": ("load_policy", "plan"),
    "envs": ("ANMEnv", "Box", "GridState", "InitialState", "State", "transition"),
    "grid": (
        "BranchAsymmetry",
        "EVCharger",
        "FlexibleLoad",
        "Generator",
        "IgnoredFieldWarning",
        "IsolatedBusWarning",
        "Load",
        "Network",
        "NetworkError",
        "ReferenceBusWarning",
        "Renewable",
        "SetPointWarning",
        "SimplificationWarning",
        "Shunt",
        "Storage",
        "Switch",
        "TapChanger",
        "pandapower_bus_index",
    ),
    "powerflow": (
        "BranchFlows",
        "BranchQuantities",
        "Contingencies",
        "LossFactors",
        "PowerFlow",
        "Sensitivities",
        "branch_flows",
        "branch_loading",
        "branch_losses",
        "branch_quantities",
        "contingency_analysis",
        "island_losses",
        "line_outage_distribution_factors",
        "loss_factors",
        "power_flow",
        "screened_loading",
        "sensitivities",
        "slack_powers",
    ),
    "projection": ("SafeProjection", "project_safe"),
    "qp": ("QPSolution", "solve_qp"),
    "render": (),  # no name of its own here: anmjax.render.page
    "tasks": (
        "GridTask",
        "MissingLimitsWarning",
        "ProfileError",
        "Profiles",
        "make",
        "randomise",
        "register",
        "registered_tasks",
    ),
    "wrappers": (
        "AutoReset",
        "EpisodeStatistics",
        "ExploringStarts",
        "MultiAgent",
        "NormalizeObservation",
        "NormalizeReward",
        "SafeAction",
        "TimeLimit",
        "Wrapper",
    ),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value  # found directly from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_NAMES, *_HOME})

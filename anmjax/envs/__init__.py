"""Environments: records, spaces, transition, reward, observation and the base class of tasks."""

from anmjax.envs.env import ANMEnv
from anmjax.envs.protocol import Environment, GridEnvironment
from anmjax.envs.records import GridState, InitialState, State
from anmjax.envs.spaces import Box
from anmjax.envs.transition import transition

__all__ = [
    "ANMEnv",
    "Box",
    "Environment",
    "GridEnvironment",
    "GridState",
    "InitialState",
    "State",
    "transition",
]

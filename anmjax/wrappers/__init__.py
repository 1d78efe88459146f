"""Environments around environments: starts and ends of episodes, safe actions, normalisation, statistics."""

from anmjax.wrappers.auto_reset import AutoReset
from anmjax.wrappers.episode_statistics import EpisodeStatistics
from anmjax.wrappers.exploring_starts import ExploringStarts
from anmjax.wrappers.multi_agent import MultiAgent
from anmjax.wrappers.normalize import NormalizeObservation, NormalizeReward
from anmjax.wrappers.running_statistics import RunningStatistics
from anmjax.wrappers.safe_action import SafeAction
from anmjax.wrappers.time_limit import TimeLimit
from anmjax.wrappers.wrapper import Wrapper

__all__ = [
    "AutoReset",
    "EpisodeStatistics",
    "ExploringStarts",
    "MultiAgent",
    "NormalizeObservation",
    "NormalizeReward",
    "RunningStatistics",
    "SafeAction",
    "TimeLimit",
    "Wrapper",
]

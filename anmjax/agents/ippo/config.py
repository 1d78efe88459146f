"""IPPOConfig: the options of PPO, and who its agents are."""

from __future__ import annotations

from dataclasses import dataclass

from anmjax.agents.config import option
from anmjax.agents.ppo.config import PPOConfig
from anmjax.agents.ranges import OneOf


@dataclass(frozen=True)
class IPPOConfig(PPOConfig):
    """Options of independent PPO: those of ``PPOConfig``, and who its agents are.

    Reference: de Witt et al., "Is independent learning all you need in the StarCraft multi-agent challenge?",
    arXiv:2011.09533 (2020).
    """

    by: str = option("device", OneOf(("device", "bus")), "an agent for each controlled device, or each bus")

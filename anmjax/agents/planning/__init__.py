"""Planning by gradients: trajectory optimisation through the simulator."""

from anmjax.agents.planning.trajectory import Plan, plan

__all__ = ["Plan", "plan"]

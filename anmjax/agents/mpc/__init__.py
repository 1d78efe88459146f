"""Model predictive control: plans over the coming steps by a DC optimal power flow, thousands at once."""

from anmjax.agents.mpc.dc_model import DCModel, dc_model
from anmjax.agents.mpc.dc_plan import Plan
from anmjax.agents.mpc.policy import MPC, MPCConstant, MPCPerfect

__all__ = ["MPC", "DCModel", "MPCConstant", "MPCPerfect", "Plan", "dc_model"]

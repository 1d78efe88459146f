"""AC power flow: a batched sparse Newton solver with implicit derivatives."""

from anmjax.powerflow.power_flow import BranchFlows, PowerFlow, branch_flows, power_flow

__all__ = ["BranchFlows", "PowerFlow", "branch_flows", "power_flow"]

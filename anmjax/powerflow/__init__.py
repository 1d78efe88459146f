"""AC power flow: a batched sparse Newton solver with implicit derivatives."""

from anmjax.powerflow.branches import BranchFlows, branch_flows
from anmjax.powerflow.contingencies import Contingencies, contingency_analysis
from anmjax.powerflow.outage_factors import line_outage_distribution_factors, screened_loading
from anmjax.powerflow.power_flow import PowerFlow, power_flow
from anmjax.powerflow.quantities import (
    BranchQuantities,
    branch_loading,
    branch_losses,
    branch_quantities,
    island_losses,
    slack_powers,
)
from anmjax.powerflow.sensitivities import LossFactors, Sensitivities, loss_factors, sensitivities

__all__ = [
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
]

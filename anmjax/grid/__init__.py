"""What a grid is: cases, validation and the Network pytree. NumPy, on the host, run once."""

from anmjax.grid.asymmetry import BranchAsymmetry
from anmjax.grid.cases import CaseError, list_cases, load_case, save_case
from anmjax.grid.devices import Generator, Load, Renewable, Storage
from anmjax.grid.flexible import EVCharger, FlexibleLoad
from anmjax.grid.matpower_case import IgnoredFieldWarning
from anmjax.grid.network import Network
from anmjax.grid.pandapower_net.limits import SimplificationWarning
from anmjax.grid.pandapower_net.reading import pandapower_bus_index
from anmjax.grid.power_tables.fields import IsolatedBusWarning, ReferenceBusWarning, SetPointWarning
from anmjax.grid.settings import Shunt, Switch, TapChanger
from anmjax.grid.validation import Fault, NetworkError, validate

__all__ = [
    "BranchAsymmetry",
    "CaseError",
    "EVCharger",
    "Fault",
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
    "Shunt",
    "SimplificationWarning",
    "Storage",
    "Switch",
    "TapChanger",
    "list_cases",
    "load_case",
    "pandapower_bus_index",
    "save_case",
    "validate",
]

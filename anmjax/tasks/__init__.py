"""Tasks: grids of one's own, days by a table, years that processes draw, and the registry."""

from anmjax.tasks.anm6 import ANM6
from anmjax.tasks.anm6_easy import ANM6Easy
from anmjax.tasks.cigre_mv import CIGREMV
from anmjax.tasks.daily import DailyTask
from anmjax.tasks.drawn import DrawnTask
from anmjax.tasks.families import randomise
from anmjax.tasks.grid_task import GridTask
from anmjax.tasks.ieee33 import IEEE33
from anmjax.tasks.ieee33_easy import IEEE33Easy
from anmjax.tasks.ieee33_switch import IEEE33Switch
from anmjax.tasks.ieee69 import IEEE69
from anmjax.tasks.limits import MissingLimitsWarning
from anmjax.tasks.lv_feeder import LVFeeder
from anmjax.tasks.mv_oberrhein import MVOberrhein
from anmjax.tasks.profiles import DailyProfiles, ProfileError, load_profiles
from anmjax.tasks.registry import make, register, registered_tasks
from anmjax.tasks.time_series import Profiles

__all__ = [
    "ANM6",
    "CIGREMV",
    "IEEE33",
    "IEEE69",
    "ANM6Easy",
    "DailyProfiles",
    "DailyTask",
    "DrawnTask",
    "GridTask",
    "IEEE33Easy",
    "IEEE33Switch",
    "LVFeeder",
    "MVOberrhein",
    "MissingLimitsWarning",
    "ProfileError",
    "Profiles",
    "load_profiles",
    "make",
    "randomise",
    "register",
    "registered_tasks",
]

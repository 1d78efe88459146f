"""Tasks: grids of one's own, daily tables, ANM6Easy-v0, IEEE33Easy-v0 and the registry."""

from anmjax.tasks.anm6_easy import ANM6Easy
from anmjax.tasks.daily import DailyTask
from anmjax.tasks.families import randomise
from anmjax.tasks.grid_task import GridTask, MissingLimitsWarning
from anmjax.tasks.ieee33_easy import IEEE33Easy
from anmjax.tasks.profiles import DailyProfiles, ProfileError, load_profiles
from anmjax.tasks.registry import make, register, registered_tasks
from anmjax.tasks.time_series import Profiles

__all__ = [
    "ANM6Easy",
    "DailyProfiles",
    "DailyTask",
    "GridTask",
    "IEEE33Easy",
    "MissingLimitsWarning",
    "ProfileError",
    "Profiles",
    "load_profiles",
    "make",
    "randomise",
    "register",
    "registered_tasks",
]

"""Processes: sun, wind and demand that are drawn, step by step or as the table of a year."""

from anmjax.tasks.processes.demand import Demand, commercial, industrial, residential
from anmjax.tasks.processes.moment import Moment
from anmjax.tasks.processes.noise import Noise
from anmjax.tasks.processes.process import FORECASTS, Process, ProcessState
from anmjax.tasks.processes.sessions import EVSessions, Session
from anmjax.tasks.processes.sun import Sun
from anmjax.tasks.processes.wind import Wind

__all__ = [
    "FORECASTS",
    "Demand",
    "EVSessions",
    "Moment",
    "Noise",
    "Process",
    "ProcessState",
    "Session",
    "Sun",
    "Wind",
    "commercial",
    "industrial",
    "residential",
]

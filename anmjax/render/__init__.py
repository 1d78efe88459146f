"""Pictures of grids and of what policies do on them; plots and films need ``pip install anmjax[plot]``."""

from anmjax.render.animation import animate
from anmjax.render.comparison import plot_policies, plot_trade_off
from anmjax.render.day import plot_day
from anmjax.render.diagram import diagram
from anmjax.render.learning_curve import plot_learning_curve
from anmjax.render.web_page import page

__all__ = [
    "animate",
    "diagram",
    "page",
    "plot_day",
    "plot_learning_curve",
    "plot_policies",
    "plot_trade_off",
]

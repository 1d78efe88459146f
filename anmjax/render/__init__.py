"""Pictures of grids and of what policies do on them; plots and films need ``pip install anmjax[plot]``."""

from anmjax.render.animation import animate
from anmjax.render.diagram import diagram
from anmjax.render.web_page import page

__all__ = ["animate", "diagram", "page"]

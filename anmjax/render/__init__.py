"""Pictures of grids and of what policies do on them: ``diagram``, ``page``; plots need ``anmjax[plot]``."""

from anmjax.render.diagram import diagram
from anmjax.render.web_page import page

__all__ = ["diagram", "page"]

"""Pictures of what policies do: a page that replays them, and plots, for which ``pip install anmjax[plot]``."""

from anmjax.render.web_page import page

__all__ = ["page"]

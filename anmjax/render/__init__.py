"""Pictures of what policies do: a page that replays them; plots, which need ``pip install anmjax[plot]``."""

from anmjax.render.web_page import page

__all__ = ["page"]

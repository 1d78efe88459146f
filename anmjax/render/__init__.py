"""Pictures of what policies do; needs matplotlib, ``pip install anmjax[plot]``."""

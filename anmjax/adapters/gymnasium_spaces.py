"""Gymnasium's spaces for ours."""

from __future__ import annotations

import gymnasium
import numpy as np

from anmjax.envs.spaces import Box


def gymnasium_box(box: Box) -> gymnasium.spaces.Box:
    """The same bounds as a Gymnasium space."""
    return gymnasium.spaces.Box(np.array(box.low), np.array(box.high), dtype=np.dtype(box.dtype).type)

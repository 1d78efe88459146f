"""Where a diagram writes the numbers of branches and devices: beside them, where there is most room."""

from __future__ import annotations

import numpy as np

from anmjax.render.layout import Layout, sampled

HALF_WIDTH = 0.2  # of a number
SIDES = np.array([[0.42, 0], [-0.42, 0], [0, 0.27], [0, -0.27]])  # of a device's symbol
BELOW = np.array([0, 0, 0.02, 0])  # the usual side


def branch_numbers(along: np.ndarray) -> np.ndarray:
    """Places of the loadings of branches, (n_branch, 2): above them, or to the right of upright ones.

    Args:
      along: (n_branch, 4), a place of each branch and the direction there.
    """
    at, direction = along[:, :2], along[:, 2:]
    across = np.stack([direction[:, 1], -direction[:, 0]], 1)
    upright = np.abs(across[:, 1]) < 1e-9
    points_back = np.where(upright, across[:, 0] < 0, across[:, 1] > 0)
    across = np.where(points_back[:, None], -across, across)
    return at + across * (0.15 + 0.14 * np.abs(across[:, :1]))


def device_numbers(places: Layout, names: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Places of the powers of devices, (n_device, 2), each on the side of its symbol with most room.

    Args:
      places: of the elements.
      names: (n_bus, 2) where the names of buses are.
      others: (n, 2) further numbers that stand in the way.
    """
    from scipy.spatial import cKDTree

    wide = np.array([[-HALF_WIDTH, 0], [0, 0], [HALF_WIDTH, 0]])
    inked = [places.bus, names, *(sampled(path) for path in places.branch)]
    inked += [place + wide for place in others]
    found = np.zeros_like(places.device)
    for k, place in enumerate(places.device):
        rest = np.delete(places.device, k, 0)
        tree = cKDTree(np.concatenate([*inked, rest]))
        candidates = place + SIDES
        room = tree.query(candidates[:, None] + wide)[0].min(1)
        best = int(np.argmax(np.minimum(room, 0.3) + BELOW))
        found[k] = candidates[best]
        inked.append(found[k] + wide)
    return found

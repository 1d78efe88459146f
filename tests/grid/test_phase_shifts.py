"""Phase shifts of voltage levels: taken out, with the same powers; phase shifters in loops stay."""

from __future__ import annotations

import numpy as np

from anmjax.grid import Network
from anmjax.grid.phase_shifts import without_level_shifts
from tests.grid.power_balance import admittance

BUS = [[i, min(i, 1), 20, 1.1, 0.9] for i in range(4)]
LOOP = [[0, 1, 0.01, 0.1, 0.02, None, 1, 150], [1, 2, 0.01, 0.1, 0, None, 0.98, 0]]
LOOP += [[3, 2, 0.01, 0.1, 0, None, 1, 30], [1, 3, 0.02, 0.2, 0, None, 1, 0]]


def test_powers_are_the_same_with_angles_turned_level_by_level():
    net = Network.from_dict({"baseMVA": 1, "bus": BUS, "device": [[0, 0, 0, *[None] * 12]], "branch": LOOP})
    turned = without_level_shifts(net)
    # 150 degrees turn all but the slack, so they go; of the loop's 30 degrees one branch keeps them.
    kept = np.rad2deg(turned.shift)
    np.testing.assert_allclose(np.sort(np.abs(kept)), [0, 0, 0, 30], atol=1e-12)
    assert turned.shift[0] == 0
    # Bus by bus there are angles that make one admittance matrix of the other: Y' = D* Y D.
    offset = np.zeros(4)
    before, after = (admittance(one).toarray() for one in (net, turned))
    for k in (1, 2, 3):
        # Along the first branch from a bus before: the angle between the two entries.
        j = next(j for j in range(k) if before[j, k] != 0)
        offset[k] = offset[j] + np.angle(after[j, k] / before[j, k])
    turn = np.diag(np.exp(1j * offset))
    # Roundings of entries of order 10.
    np.testing.assert_allclose(turn.conj() @ before @ turn, after, atol=1e-13)


def test_a_network_without_shifts_stays_what_it_is():
    rows = [[*row[:7], 0] for row in LOOP]
    net = Network.from_dict({"baseMVA": 1, "bus": BUS, "device": [[0, 0, 0, *[None] * 12]], "branch": rows})
    assert without_level_shifts(net) is net

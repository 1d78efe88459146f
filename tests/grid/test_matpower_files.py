"""Case files of all forms that MATPOWER takes, and what they mean as a network."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from anmjax.grid import CaseError, IgnoredFieldWarning, IsolatedBusWarning, Network
from tests.grid.matpower_samples import CASE, edit, write


def test_the_tables_are_read_as_matpower_means_them(tmp_path):
    with pytest.warns(IsolatedBusWarning, match=r"2 isolated buses .* 4 MW and 1.5 MVAr of load: bus 30, 31"):
        net = Network.from_matpower(write(tmp_path, CASE), devices=False)
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
        "k = find(mpc.bus(:, 3) > 0);\nfor i = k', mpc.bus(i, 3) = mpc.bus(i, 3) + mpc.bus(i, 3); end",
        "if mpc.baseMVA > 1 && size(mpc.bus, 1) == 6\nmpc.bus(:, 3) = 2 * mpc.bus(:, 3);\nend",
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


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(CaseError, match=r"nowhere.m: cannot be read"):
        Network.from_matpower(tmp_path / "nowhere.m")
    with pytest.raises(CaseError, match=r"case9.mat: must be a MATPOWER case file, ending in .m"):
        Network.from_matpower("case9.mat")


@pytest.mark.filterwarnings("ignore::anmjax.grid.IsolatedBusWarning")
@pytest.mark.parametrize(
    "data",
    [
        CASE.replace("Comments", "Am\xe9lie's comments").encode("latin-1"),
        CASE.replace("Comments", "Am\xe9lie's comments").encode("utf-8-sig"),
        CASE.replace("\n", "\r\n").encode(),
        CASE.replace("\n", "\r").encode(),
        CASE.encode() + b"\n% note \x85 mpc.baseMVA = 1;",  # a line feed to Unicode, not to MATLAB
        CASE.encode() + "\n% \u2028 mpc.baseMVA = 1; \x0c mpc.baseMVA = 1; \x0b mpc.baseMVA = 1;".encode(),
        CASE.encode() + "\n% note \x85 mpc.baseMVA = 1; \x1e mpc.baseMVA = 1;".encode(),
    ],
    ids=["latin-1", "byte order mark", "CR LF", "CR", "byte 85", "separators", "next line"],
)
def test_lines_and_letters_of_all_systems_are_read(tmp_path, data):
    path = tmp_path / "old.m"
    path.write_bytes(data)
    net = Network.from_matpower(path)
    assert (net.n_bus, net.base_mva) == (4, 50)


@pytest.mark.parametrize("data", [CASE.encode("utf-16"), CASE.encode("utf-16-le"), CASE.encode() + b"\0"])
def test_a_file_with_zero_bytes_is_no_text(tmp_path, data):
    path = tmp_path / "wide.m"
    path.write_bytes(data)
    with pytest.raises(CaseError, match=r"wide.m: must be a text file in UTF-8 or Latin-1"):
        Network.from_matpower(path)


VERSION_1 = CASE.replace("mpc.bus_name", "names").replace("mpc.version", "version").replace("mpc.", "")
HEADS = {
    "brackets": CASE.replace("function mpc = case_small", "function [mpc] = case_small"),
    "parentheses": CASE.replace("function mpc = case_small", "function mpc = case_small()"),
    "arguments": CASE.replace("function mpc = case_small", "function mpc = case_small(varargin)"),
    "another name": CASE.replace("mpc", "ppc"),
    "an end": CASE + "end",
    "an end of Octave": CASE + "endfunction % of it\n",
    "a struct": CASE.replace("mpc.version", "mpc = struct();\nmpc.version"),
    "a clear": CASE.replace("mpc.version", "clear all; clc\nclose all\nformat long\nmpc.version"),
    "a script": CASE.replace("function mpc = case_small\n", "clear all; clc;\n"),
    "a report": CASE + "disp('read'), fprintf('%d buses\\n', size(mpc.bus, 1));\nrunpf(mpc);\nr = runpf(mpc)",
    "a local function": CASE + "end\nfunction mpc = other(x)\nmpc.bus(:, 3) = x;\nend",
    "a local function without an end": CASE + "function mpc = other(x)\nmpc.bus(:, 3) = x;",
    "version 1": VERSION_1.replace(
        "function mpc = case_small", "function [baseMVA, bus, gen, branch, areas, gencost] = case_small"
    ),
    "version 1 without costs": VERSION_1.replace(
        "function mpc = case_small", "function [baseMVA bus gen branch] = case_small"
    ),
    # By place: loadcase gives the names.
    "version 1 by other names": VERSION_1.replace("gen =", "machines =").replace(
        "function mpc = case_small", "function [baseMVA, bus, machines, branch] = case_small"
    ),
}


@pytest.mark.filterwarnings("ignore::anmjax.grid.IsolatedBusWarning")
@pytest.mark.parametrize("head", HEADS)
def test_files_of_all_forms_are_the_same_case(tmp_path, head):
    plain = Network.from_matpower(write(tmp_path, CASE))
    net = Network.from_matpower(write(tmp_path, HEADS[head]))
    for name, value in vars(plain).items():
        np.testing.assert_array_equal(getattr(net, name), value)


# Files of one bus that differ from MATPOWER's own in form, as those of pglib-opf and others do.
FORMS = {
    "pglib-opf": "%% tables\n%column_names%\tx\nmpc.bus = [\n\t1\t 3\t 10.0\t 5.0\t 0.0\t 0.0\t 1\t 1.0000\t "
    "0.00000\t 345.0\t 1\t    1.10000\t    0.90000;\n];\n\n% INFO    : === Translation Options ===\n% 'x",
    "one line": "mpc.bus=[1,3,10,5,0,0,1,1,0,345,1,1.1,.9];",
    "continued": "mpc.bus = [1 3 10 5 0 0 ... area\n 1 1 0 345 1 1.1 0.9];",
    "in ohm": "mpc.bus = [1 3 1e4 5e3 0 0 1 1 0 345 1 1.1 0.9]; mpc.bus(:, 3:4) = mpc.bus(:, 3:4) / 1e3;",
    "grown": "mpc.bus = zeros(0, 13); mpc.bus(end + 1, :) = [1 3 10 5 0 0 1 1 0 345 1 1.1 0.9];",
    "filled": "mpc.bus = zeros(1, 13); mpc.bus([1 2 3 4]) = [1 3 10 5];\n"
    "mpc.bus(:, [7 8 11]) = ones(1, 3); mpc.bus(10) = 345; mpc.bus(1, end-1:end) = [1.1 .9];",
    "by loops": "mpc.bus = [1 3 0 0 0 0 1 1 0 345 1 1.1 0.9];\nfor k = 1:5, mpc.bus(3) = mpc.bus(3) + 2; "
    "mpc.bus(4) = mpc.bus(4) + 1; end",
    "by a mask": "mpc.bus = [1 3 10 50 0 0 1 1 0 345 1 1.1 0.9]; mpc.bus(mpc.bus(:, 4) > 20, 4) = 5;",
    "deleted": "mpc.bus = [1 3 10 5 0 0 1 1 0 345 1 1.1 .9; 2 1 0 0 0 0 1 1 0 3 1 1 1]; mpc.bus(2, :) = [];",
}


@pytest.mark.parametrize("form", FORMS)
def test_tables_of_all_forms_are_the_same_bus(tmp_path, form):
    text = f"function mpc = c\nmpc.baseMVA = 100;\n{FORMS[form]}\nmpc.gen = [1 20 1 9 -9 1 100 1 30 0];\n"
    text += "mpc.branch = [];\n"
    net = Network.from_matpower(write(tmp_path, text))
    assert (net.bus_ids, net.base_kv.tolist(), net.v_max.tolist(), net.v_min.tolist()) == (
        (1,),
        [345],
        [1.1],
        [0.9],
    )
    np.testing.assert_allclose(net.p, [0.2 - 0.1], rtol=1e-15)
    np.testing.assert_allclose(net.q, [0.01 - 0.05], rtol=1e-15)


@pytest.mark.filterwarnings("ignore::anmjax.grid.IsolatedBusWarning")
def test_a_field_that_is_not_known_is_ignored_with_a_warning(tmp_path):
    text = CASE + "mpc.busloc = [1 2];\nmpc.casename = 'x';\nmpc.storage = [];\nmpc.switch = {};\n"
    with pytest.warns(IgnoredFieldWarning) as caught:
        Network.from_matpower(write(tmp_path, text))
    (warning,) = [record for record in caught if issubclass(record.category, IgnoredFieldWarning)]
    assert warning.filename == __file__
    assert "fields that are not known were ignored: mpc.busloc, mpc.casename" in str(warning.message)
    message = pickle.loads(pickle.dumps(warning.message))
    assert (message.fields, str(message)) == (("busloc", "casename"), str(warning.message))

"""Case files with a fault: each is named with its place."""

from __future__ import annotations

import pytest

from anmjax.grid import Network, NetworkError
from tests.grid.matpower_samples import CASE, edit, write

FAULTS = {
    "a loop without an end": (CASE + "while 1\nend", "line 38: statement is 'while 1', must be of the part"),
    "a function": (CASE + "mpc = loadcase(mpc);", "line 38: statement is 'mpc = loadcase(mpc);'"),
    "a condition": (
        CASE + "if exist('x')\nmpc.bus(:, 3) = 0;\nend",
        "line 38: statement is \"if exist('x')\", must be of the part of MATLAB that case files use: ex",
    ),
    "a fault within a loop": (
        CASE + "for k = 1:3\nmpc.bus(k, 3) = eat(k);\nend",
        "line 39: statement is 'mpc.bus(k, 3) = eat(k);', must be of the part of MATLAB that case files use",
    ),
    "a fault within a statement of lines": (
        CASE + "mpc.x = [1 2\n3 eat(4)];",
        "must be of the part of MATLAB that case files use: eat is not known",
    ),
    "a result": (
        CASE + "mpc = runpf(mpc);",
        "line 38: statement is 'mpc = runpf(mpc);', must be of the part of MATLAB that case files use",
    ),
    "no outputs": (
        edit("function mpc = case_small", "function case_small"),
        "network: mpc.baseMVA is None, is required",
    ),
    "a script with a function": (
        "clear all; clc\n" + CASE + "end",
        "line 2: statement is 'function mpc = case_small', must be of the part of MATLAB that case files use",
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
    "a storage unit": (
        CASE + "mpc.storage = [1 2];",
        "network: mpc.storage is 'a table of shape (1, 2)', must be absent or empty: such elements",
    ),
    "a base in words": (
        edit("mpc.baseMVA = 50;", "mpc.baseMVA = '50';"),
        "network: mpc.baseMVA is 'a string', must be a table of numbers",
    ),
    "a direct-current line": (
        CASE + "mpc.dcline = [7 12 0 1; 7 12 1 1];",
        "network: dcline is 'of shape (2, 4)', must be a table of 17 columns or more: F_BUS, T_BUS",
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


OVERFLOWS = {
    # 5 MW / 5e-324 MVA is beyond float64, whose largest number is 1.8e308.
    "a base that overflows": (
        edit("mpc.baseMVA = 50;", "mpc.baseMVA = 5e-324;"),
        "network: baseMVA is 4.94065645841e-324, must be so large that powers divided by it, and their sums",
    ),
    "a rating that overflows": (
        edit("mpc.baseMVA = 50;", "mpc.baseMVA = 1e-5;").replace("0.02\t100\t0", "0.02\t1e305\t0"),
        "network: baseMVA is 1e-05, must be so large that powers divided by it, and their sums",
    ),
    "a sum that overflows": (
        CASE.replace("\t7\t10\t1\t9", "\t7\t1e308\t1\t9").replace("\t7\t5\t2\t9", "\t7\t1e308\t2\t9"),
        "network: baseMVA is 50, must be so large that powers divided by it, and their sums",
    ),
}


@pytest.mark.filterwarnings("ignore::anmjax.grid.IsolatedBusWarning")
@pytest.mark.parametrize("overflow", OVERFLOWS)
def test_powers_beyond_all_numbers_are_refused(tmp_path, overflow):
    text, message = OVERFLOWS[overflow]
    with pytest.raises(NetworkError) as caught:
        Network.from_matpower(write(tmp_path, text))
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

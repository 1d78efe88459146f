"""The arithmetic of case files: MATLAB's rules, and nothing beyond them."""

from __future__ import annotations

import numpy as np
import pytest

from anmjax.grid.matlab import Unreadable, Workspace


def run(*statements: str) -> Workspace:
    workspace = Workspace()
    workspace.values["mpc.t"] = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    for statement in statements:
        workspace.run(statement)
    return workspace


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("50/3", 50 / 3),
        ("1 + 2 * 3 - 4 / 8", 6.5),
        ("-2^2", -4.0),
        ("2^-1", 0.5),
        ("2^3^2", 64.0),  # powers bind from the left, unlike in Python
        ("-(1 - 3) * .5e1", 10.0),
        ("2 - -3", 5.0),
        ("6 / 2 / 3", 1.0),
        ("sin(acos(0.85))", np.sin(np.arccos(0.85))),
        ("135/sqrt(3)", 135 / np.sqrt(3)),
        ("abs(-pi)", np.pi),
        ("-Inf", -np.inf),
        ("mpc.t(2, 3)", 6.0),
        ("mpc.t(1, 1 + 1)^2", 4.0),
    ],
)
def test_a_number_is_computed_by_matlabs_rules(expression, value):
    np.testing.assert_array_equal(run(f"x = {expression};").values["x"], [[value]])


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("[1 -2]", [[1, -2]]),
        ("[1 - 2]", [[-1]]),
        ("[1 -2 + 3]", [[1, 1]]),
        ("[1, 2\n3 4;\n5 6]", [[1, 2], [3, 4], [5, 6]]),
        ("[2*(1 + 2) (4)]", [[6, 4]]),
        ("[mpc.t(1, 2) mpc.t(1, :)]", [[2, 1, 2, 3]]),
        ("mpc.t(:, 2)", [[2], [5]]),
        ("mpc.t(:, [3 1])", [[3, 1], [6, 4]]),
        ("mpc.t(2, 1:2)", [[4, 5]]),
        ("mpc.t .* mpc.t", [[1, 4, 9], [16, 25, 36]]),
        ("mpc.t .^ 2 / 2", [[0.5, 2, 4.5], [8, 12.5, 18]]),
    ],
)
def test_a_matrix_is_computed_by_matlabs_rules(expression, value):
    np.testing.assert_array_equal(run(f"x = {expression}").values["x"], value)


def test_parts_of_a_table_are_assigned():
    workspace = run("A = 1; B = 3", "mpc.t(:, [A, B]) = mpc.t(:, [A B]) * 10; mpc.t(2, 2) = 0")
    np.testing.assert_array_equal(workspace.values["mpc.t"], [[10, 2, 30], [40, 0, 60]])


def test_a_value_that_was_taken_earlier_does_not_follow_the_table():
    workspace = run("x = mpc.t;", "mpc.t(:, 1) = 0;")
    np.testing.assert_array_equal(workspace.values["x"][:, 0], [1, 4])


def test_matpowers_names_of_columns_count_from_1():
    workspace = run("[PQ, PV, REF, NONE, BUS_I, TYPE, PD, QD] = idx_bus;", "[F_BUS T_BUS BR_R] = idx_brch")
    assert {name: workspace.values[name].item() for name in ("NONE", "BUS_I", "TYPE", "QD", "BR_R")} == {
        "NONE": 4,
        "BUS_I": 1,
        "TYPE": 2,
        "QD": 4,
        "BR_R": 3,
    }
    workspace = run("define_constants;")
    expected = {"BASE_KV": 10, "VMIN": 13, "BR_STATUS": 11, "ANGMAX": 13, "PF": 14, "PMIN": 10, "APF": 21}
    assert {name: workspace.values[name].item() for name in expected} == expected


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("x = mpc.t'", '"\'" is not read'),
        ("x = mpc.t * mpc.t", "a product of two matrices"),
        ("x = 1 / mpc.t", "a division by a matrix"),
        ("x = mpc.t ^ 2", "a power of a matrix"),
        ("x = mpc.t + [1 2]", r"shapes \(2, 3\) and \(1, 2\) do not go together"),
        ("x = mpc.t(3, 1)", "an index must be one of 1 to 2"),
        ("x = mpc.t(0, 1)", "an index must be one of 1 to 2"),
        ("x = mpc.t(1.5, 1)", "an index must be one of 1 to 2"),
        ("x = mpc.t(1, 1:1e12)", "a range must lie in 1 to 3"),
        ("x = mpc.t(1, end)", "end is not known"),
        ("x = mpc.t(1)", "',' was expected"),
        ("mpc.t(:, 1) = [1 2 3]", "2 x 1 entries cannot hold"),
        ("mpc.u(:, 1) = 2", "mpc.u is no table"),
        ("x = [1 2; 3]", "same number of columns"),
        ("x = y", "y is not known"),
        ("x = find(mpc.t)", "find is not known"),
        ("x = __import__(1)", "'_' is not read"),
        ("x = 1 y", "'y' is not expected here"),
        ("x = (1", r"'\)' was expected, not 'the end'"),
        ("x = 1 & 2", "'&' is not read"),
        ("x = 'one' ; y = x + 1", "x is a string"),
        ("x =", "a name was expected"),
        ("disp(1)", "disp is no table"),
        ("[a, b] = size(mpc.t)", "only idx_bus, idx_brch, idx_gen may return several values"),
    ],
)
def test_anything_else_is_refused(statement, reason):
    with pytest.raises(Unreadable, match=reason):
        run(statement)

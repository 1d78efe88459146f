"""Expressions of case files: MATLAB's rules, and nothing beyond them.

The values were checked against GNU Octave, which follows MATLAB here.
"""

from __future__ import annotations

import numpy as np
import pytest

from anmjax.grid import matlab

TABLES = "mpc.t = [1 2 3; 4 5 6];\nv = [7 8 9];\nw = [7; 8];\none = 1;\n"


def run(statements: str, name: str = "x") -> matlab.Value | None:
    outcome = matlab.run(TABLES + statements, name)
    assert not outcome.complaints
    return outcome.values[0]


def reason(statements: str) -> str:
    """Why the first statement that is refused is refused."""
    return matlab.run(TABLES + statements, "x").complaints[0].reason


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("50/3", 50 / 3),
        ("1 + 2 * 3 - 4 / 8", 6.5),
        ("-2^2", -4.0),
        ("2^-1", 0.5),
        ("2^3^2", 64.0),  # powers bind from the left, unlike in Python
        ("2^one'", 2.0),
        ("-(1 - 3) * .5e1", 10.0),
        ("2 - -3", 5.0),
        ("6 / 2 / 3", 1.0),
        ("1d2 + 1D-1", 100.1),
        ("4..*.5", 2.0),
        ("1 + ... the rest is a comment\n 2", 3.0),
        ("sin(acos(0.85))", np.sin(np.arccos(0.85))),
        ("135/sqrt(3)", 135 / np.sqrt(3)),
        ("abs(-pi)", np.pi),
        ("-Inf", -np.inf),
        ("mpc.t(2, 3)", 6.0),
        ("mpc.t (2, 3)", 6.0),
        ("mpc.t(1, 1 + 1)^2", 4.0),
        ("mpc.t(end, 1)", 4.0),
        ("mpc.t(end)", 6.0),
        ("v(end - 1)", 8.0),
        ("v(min(end, 2))", 8.0),
        ("mpc.t(4)", 5.0),  # down the columns
        ("length('it''s %')", 6.0),
        ("numel({'a', 1; 'b', [2 3]})", 4.0),
        ("one ' + 1", 2.0),
        ("max([3 NaN 5])", 5.0),
        ("round(-2.5) + fix(2.7) + floor(-0.5) + ceil(0.5)", -1.0),
        ("round(0.49999999999999994)", 0.0),
        ("mod(-1, 3) * 10 + rem(-1, 3)", 19.0),
        ("true + true", 2.0),
        ("idx_bus + 0", 1.0),
    ],
)
def test_a_number_is_computed_by_matlabs_rules(expression, value):
    np.testing.assert_array_equal(run(f"x = {expression};"), [[value]])


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("[1 -2]", [[1, -2]]),
        ("[1 - 2]", [[-1]]),
        ("[1 -2 + 3]", [[1, 1]]),
        ("[1 , -2]", [[1, -2]]),
        ("[one -one]", [[1, -1]]),
        ("[one - one]", [[0]]),
        ("[one -one]'", [[1], [-1]]),
        ("[(1 -2)]", [[-1]]),
        ("[v(3 -2) -1]", [[7, -1]]),
        ("[1 - ...\n2]", [[-1]]),
        ("[1 ...\n-2]", [[1, -2]]),
        ("[1 2 3...\n 4]", [[1, 2, 3, 4]]),
        ("[one' one']", [[1, 1]]),
        ("[w' v]", [[7, 8, 7, 8, 9]]),
        ("[1, 2\n3 4;\n5 6]", [[1, 2], [3, 4], [5, 6]]),
        ("[1 2;\n\n 3 4 % ]\n;;\n]", [[1, 2], [3, 4]]),
        ("[1 2\n%{\n 9 9\n%}\n 3 4]", [[1, 2], [3, 4]]),
        ("[1, 2,; 3, 4,]", [[1, 2], [3, 4]]),
        ("[1 .5]", [[1, 0.5]]),
        ("[2*(1 + 2) (4)]", [[6, 4]]),
        ("[1 ~= 0]", [[True]]),
        ("[1 ~0]", [[1, 1]]),
        ("[mpc.t(1, 2) mpc.t(1, :)]", [[2, 1, 2, 3]]),
        ("[mpc.t; v]", [[1, 2, 3], [4, 5, 6], [7, 8, 9]]),
        ("[mpc.t; []]", [[1, 2, 3], [4, 5, 6]]),
        ("mpc.t(:, 2)", [[2], [5]]),
        ("mpc.t(:, [3 1])", [[3, 1], [6, 4]]),
        ("mpc.t(2, 1:2)", [[4, 5]]),
        ("mpc.t(:, end:-2:1)", [[3, 1], [6, 4]]),
        ("mpc.t(:, v > 7)", [[2, 3], [5, 6]]),
        ("mpc.t(mpc.t > 2)", [[4], [5], [3], [6]]),
        ("mpc.t(:)'", [[1, 4, 2, 5, 3, 6]]),
        ("mpc.t([1 2])", [[1, 4]]),
        ("v([1; 2])", [[7, 8]]),
        ("v([1 2; 3 1])", [[7, 8], [9, 7]]),
        ("one([1; 1])", [[1], [1]]),
        ("v([])", np.zeros((0, 0))),
        ("v(v > 9)", np.zeros((1, 0))),
        ("mpc.t(mpc.t > 9)", np.zeros((0, 1))),
        ("mpc.t'", [[1, 4], [2, 5], [3, 6]]),
        ("mpc.t .* mpc.t", [[1, 4, 9], [16, 25, 36]]),
        ("mpc.t .^ 2 / 2", [[0.5, 2, 4.5], [8, 12.5, 18]]),
        ("1 ./ [1 2]", [[1, 0.5]]),
        ("w + v(1:2)", [[14, 15], [15, 16]]),
        ("1:3 == 1:3", [[True, True, True]]),
        ("5:-2:0", [[5, 3, 1]]),
        ("1:0", np.zeros((1, 0))),
        ("size(mpc.t)", [[2, 3]]),
        ("zeros(2, 1)", [[0], [0]]),
        ("ones(2)", [[1, 1], [1, 1]]),
        ("find(mpc.t > 4)", [[4], [6]]),
        ("find([0 1 1])", [[2, 3]]),
        ("find([0 0])", np.zeros((1, 0))),
        ("sum(mpc.t)", [[5, 7, 9]]),
        ("sum(mpc.t, 2)", [[6], [15]]),
        ("max(mpc.t)", [[4, 5, 6]]),
        ("any(mpc.t > 5)", [[False, False, True]]),
        ("isinf([1 Inf NaN]) | isnan([1 Inf NaN])", [[False, True, True]]),
    ],
)
def test_a_matrix_is_computed_by_matlabs_rules(expression, value):
    found = run(f"x = {expression}")
    assert found.shape == np.shape(value)
    np.testing.assert_array_equal(found, value)


# Tables of plain numbers have a reader of their own; beside another the parser gets them.
PLAIN = [
    "[1 2; 3 4]",
    "[-1 +2\n.5,3.]",
    "[1e3 -2E-1, 1.e2;;\n]",
    "[Inf -inf NaN nan]",
    "[1 % [2\n 3;4]",
    "[\n1\t2\n]",
]


@pytest.mark.parametrize("table", PLAIN)
def test_a_plain_table_is_the_same_to_the_parser(table):
    plain = run(f"x = {table};")
    parsed = run(f"x = [zeros(0, 0) {table[1:]};")
    assert plain.shape == parsed.shape
    np.testing.assert_array_equal(plain, parsed)


@pytest.mark.parametrize("table", ["[1 2; 3]", "[1,,2]", "[1 - ]", "[1 2", "[1 2)", "[1_0]", "[2e]"])
def test_a_plain_table_with_a_fault_is_refused_by_both(table):
    assert reason(f"x = {table};")
    assert reason(f"x = [zeros(0, 0) {table[1:]};")


@pytest.mark.parametrize("names", ["{'a'; 'b';}", "{\n'it''s % ';\n\n'...'\n}", "{'{'\n'[1';}"])
def test_a_column_of_names_is_the_same_to_the_parser(names):
    plain, parsed = (
        run(f"x = {names};"),
        run(f"x = {names[:-1]}; {{}}];".replace("{", "[{", 1).replace("; {}]", "}; {}]")),
    )
    assert plain.tolist() == parsed.tolist()


def test_matpowers_names_of_columns_count_from_1():
    names = "[PQ, PV, REF, NONE, BUS_I, TYPE, PD, QD] = idx_bus;\n[F_BUS T_BUS BR_R] = idx_brch\n"
    np.testing.assert_array_equal(run(names + "x = [NONE BUS_I TYPE QD BR_R]"), [[4, 1, 2, 4, 3]])
    names = "define_constants;\nc = idx_dcline;\n"
    constants = "[BASE_KV VMIN BR_STATUS ANGMAX PF PMIN APF COST c.QMAXT]"
    np.testing.assert_array_equal(run(f"{names}x = {constants};"), [[10, 13, 11, 13, 14, 10, 21, 5, 15]])


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("x = mpc.t * mpc.t", "a product of two matrices"),
        ("x = 1 / mpc.t", "a division by a matrix"),
        ("x = mpc.t ^ 2", "a power of a matrix"),
        ("x = (-8)^(1/3)", "would be complex"),
        ("x = sqrt(-1)", "would be complex"),
        ("x = 2i", "'2i' is no number"),
        ("x = 0x10", "'0x' is no number"),
        ("x = 2^-1^2", "an exponent with a sign must stand in parentheses"),
        ("x = 2--3", "'--' is not read"),  # Octave takes -- for a decrement
        ("x = mpc.t + [1 2]", r"shapes (2, 3) and (1, 2) do not go together"),
        ("x = mpc.t(3, 1)", "an index must be one of 1 to 2"),
        ("x = mpc.t(0, 1)", "an index must be a whole number, from 1"),
        ("x = mpc.t(1.5, 1)", "an index must be a whole number, from 1"),
        ("x = mpc.t(NaN, 1)", "an index must be a whole number, from 1"),
        ("x = mpc.t(1, 1:1e12)", "a value of 1000000000000 elements is too large"),
        ("x = mpc.t(1, 1, 1)", "a table has one or two indices, not 3"),
        ("x = mpc.t(1, :)(2)", "parentheses cannot be indexed"),
        ("x = mpc.t(1,\n2)", "a line ends within parentheses"),
        ("x = mpc.t(:, end + 1)", "an index must be one of 1 to 3"),
        ("x = end", "a value was expected, not 'end'"),
        ("x = (end)", "a value was expected, not 'end'"),
        ("x = sum(end)", "'end' is read only within an index"),
        ("x = [,1]", "an element was expected, not ','"),
        ("x = 0:0.1:1", "a range must be of whole numbers"),
        ("x = 1:2:3:4", "a range has two or three parts"),
        ("x = [1 2; 3]", "same number of columns, not 1 or 2"),
        ("x = [one one; 3]", "same number of columns, not 1 or 2"),
        ("x = ['a' 1]", "strings are joined only with strings"),
        ("x = [one]; y = ['a'; 'b']", "strings are joined only with strings"),
        ("x = [one'a']", "a space, comma or semicolon was expected"),
        ("x = [one '; 1]", "a string has no end on its line"),
        ("x = y", "y is not known"),
        ("x = eval('1')", "eval is not known"),
        ("x = @sin", "'@' is not read"),
        ("x = !one", "'!' is not read"),
        ("x = __import__(1)", "'_' is not read"),
        ("x = 1 y", "'y' is not expected here"),
        ("x = (1", "'(' has no ')'"),
        ("x = 1)", "')' closes nothing"),
        ("x = v && 1", "is not one condition"),
        ("x = ~NaN", "NaN is neither true nor false"),
        ("x = 'one' ; y = x + 1", "a string is no table of numbers"),
        ("x = 'a", "a string has no end on its line"),
        ("x =", "a value was expected, not the end of the line"),
        ("x = y = 3", "'=' is not expected here"),
        ("x += 1", "a value was expected, not '='"),
        ("x = mpc.('t')", "'.' is not read"),
        ("x = mpc. t", "'.' is not read"),
        ("x = mpc .t", "must follow what it is a field of"),
        ("x = mpc.u", "the field u is not known"),
        ("x = size(mpc.t, 3)", "a table has the dimensions 1 and 2"),
        ("x = sin(1, 2)", "sin of 2 arguments is not read"),
        ("x = mod(0.3, 0.1)", "a remainder must be of whole numbers"),
        ("[a, b] = find(mpc.t)", "idx_cost and size may return several values"),
        ("x = [1\u20032]", r"'\u2003' is not read"),
        ("x = \x0c1", r"'\x0c' is not read"),
        (f"x = {'y' * 64}", "a name has more than 63 characters"),
        (f"x = {'1' * 500}", "is no number"),
        ("Inf = 3", "Inf is no variable"),
    ],
)
def test_anything_else_is_refused(statement, words):
    assert words in reason(statement)

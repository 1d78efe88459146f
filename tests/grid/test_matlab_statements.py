"""Statements of case files: each is carried out as MATLAB does, or refused with its line.

``pd`` is the demand of a bus in the table below, 45 MW unless a statement changes it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from anmjax.grid import matlab

BASE = "function mpc = small\nmpc.baseMVA = 100;\nmpc.bus = [1 3 0; 2 1 15; 3 1 45];\n"


def case_of(statements: str) -> Mapping[str, matlab.Value]:
    outcome = matlab.run(BASE + statements, "mpc")
    assert not outcome.complaints
    (case,) = outcome.values
    assert isinstance(case, Mapping)
    return case


def complaints(statements: str) -> list[tuple[int, str]]:
    return [(c.line, c.reason) for c in matlab.run(BASE + statements, "mpc").complaints]


CHANGES = {
    # What was read as another case once.
    "return;\nmpc.bus(3,3) = 999;": 45,
    "w = 0;\nif w\n  mpc.bus(3,3) = 1;\nelse mpc.bus(3,3) = 10; end": 10,
    "w = 0;\nif w\n  mpc.bus(3,3) = 1;\nelseif 1 mpc.bus(3,3) = 10; end": 10,
    "w = 0;\nif w\n  if w, b = 1; end\nend\nmpc.bus(3,3) = 30;": 30,
    "w = 0;\nif w\n  for k = 1:2, b = 1; end\n  while 1, b = 2; end\nend\nmpc.bus(3,3) = 30;": 30,
    "mpc.bus_name = {'North...'; 'b'};\nmpc.bus(3,3) = 15;": 15,
    "end\nfunction mpc = other\nmpc.bus(3,3) = 1;\nend": 45,
    "% note\x85mpc.bus(3,3) = 1;": 45,
    # Conditions.
    "if mpc.baseMVA > 50 && size(mpc.bus, 1) == 3, mpc.bus(3,3) = 1; end": 1,
    "if mpc.baseMVA == 1 || ~isempty(mpc.bus)\nmpc.bus(3,3) = 1; end": 1,
    "if 0 && y, mpc.bus(3,3) = 1; end": 45,  # y is not evaluated
    "if [1 0], mpc.bus(3,3) = 1; else, mpc.bus(3,3) = 2; end": 2,
    "if [], mpc.bus(3,3) = 1; else mpc.bus(3,3) = 2; end": 2,
    "if 1, if 0, x = 1; else, mpc.bus(3,3) = 7; end end": 7,
    "if 1\nreturn\nend\nmpc.bus(3,3) = 1;": 45,
    "if nargin < 1, mpc.bus(3,3) = 1; end": 1,
    "switch mpc.baseMVA\n case 1\n x = 1;\n case {10, 100}\n mpc.bus(3,3) = 2;\n otherwise\n x = 1;\nend": 2,
    "switch 'a' % case 'a'\n\n case 'b'\n x = 1; case {'c', 'a'}, mpc.bus(3,3) = 3; end": 3,
    "switch 1, case 1, mpc.bus(3,3) = 1; case 1, mpc.bus(3,3) = 2; end": 1,
    # Loops.
    "for k = 1:size(mpc.bus, 1)\n  mpc.bus(k, 3) = k;\nend": 3,
    "for k = 3:-1:1, if k == 2, continue, end, mpc.bus(3,3) = k; end": 1,
    "for k = 1:9, mpc.bus(3,3) = k; if k > 3, break; end; end": 4,
    "for (k = [1 5])\nmpc.bus(3,3) = k;\nendfor": 5,
    "for k = mpc.bus', mpc.bus(3,3) = k(3) + 1; end": 46,
    "for k = 1:0, mpc.bus(3,3) = k; end": 45,
    "n = 0; while n < 12\n n = n + 1;\nend\nmpc.bus(3,3) = n;": 12,
    "while true, for k = 1:3, break, end, mpc.bus(3,3) = k; break, end": 1,
    "for k = 1:3, for j = 1:3, if j == 2, return, end, mpc.bus(3,3) = j; end, end": 1,
    # Comments, strings, continued lines.
    "%{\nmpc.bus(3,3) = 1;\n%{\n%}\nmpc.bus(3,3) = 2;\n%}": 45,
    "%{ one line\nmpc.bus(3,3) = 1;\n%}": 1,
    "  %{  \nmpc.bus(3,3) = 1;\n\t%}": 45,
    "# of Octave\n#{\nmpc.bus(3,3) = 1;\n#}": 45,
    "x = 'a % b'; mpc.bus(3,3) = 1;": 1,
    "x = 'it''s'; mpc.bus(3,3) = 1; % it's": 1,
    'x = "a % \'b"; mpc.bus(3,3) = 1;': 1,
    "x = [1 2]'; y = 'a'; mpc.bus(3,3) = x(2)';": 2,
    "mpc.bus(3,3) = ... mpc.bus(3,3) = 9;\n 1;": 1,
    "mpc.bus(3, ... column\n 3) = 1": 1,
    ";; ; mpc.bus(3,3) = 1;;": 1,
    # Entries.
    "mpc.bus(end, end) = 1;": 1,
    "mpc.bus(:, 3) = [1; 2; 3];": 3,
    "mpc.bus(:, 3) = [1 2 3];": 3,
    "mpc.bus(3, :) = 7;": 7,
    "mpc.bus(9) = 1;": 1,
    "mpc.bus(:) = 1:9;": 9,
    "mpc.bus(mpc.bus(:, 3) > 20, 3) = 5;": 5,
    "mpc.bus(mpc.bus > 20) = 5;": 5,
    "k = find(mpc.bus(:, 3) > 20); mpc.bus(k, 3) = mpc.bus(k, 3) / 9;": 5,
    "mpc.bus(2, :) = []; mpc.bus(3, :) = [9 9 9];": 9,
    "mpc.bus(end + 1, :) = 0; mpc.bus(4, :) = [];": 45,
    "mpc.bus(:, 1) = []; mpc.bus = [mpc.bus(:, 1) mpc.bus];": 45,
    "x = mpc.bus; x(3,3) = 1;": 45,  # values, not references
    "s = mpc; s.bus(3,3) = 1;": 45,
    "s = mpc; s.bus(3,3) = 1; mpc = s;": 1,
    "mpc.bus(3,3) = true;": 1,
    "x = []; x(2, :) = [1 2]; x(end, 4) = 3; mpc.bus(3,3) = sum(sum(x));": 6,
    "x = 1; x(3) = 4; mpc.bus(3,3) = numel(x);": 3,
    "c = {}; c{3} = [1 2]; mpc.bus(3,3) = numel(c) + c{3}(2);": 5,
    "c = {1, 'a'; 2, 'b'}; c(1, :) = []; mpc.bus(3,3) = c{1};": 2,
    "mpc.a.b.c = 3; mpc.a.d = 4; mpc.bus(3,3) = mpc.a.b.c + mpc.a.d;": 7,
    "mpc.if = 3; mpc.end = 4; mpc.bus(3,3) = mpc.if + mpc.end;": 7,
    "[r, c] = size(mpc.bus); [~, d] = size(1:4); [e] = size(1); mpc.bus(3,3) = r + c + d + e(1);": 11,
    "size = 3; mpc.bus(3,3) = size(1);": 3,
    "i = 2; mpc.bus(3,3) = i;": 2,
    "x = 1; clear x; size = 3; clear size\nmpc.bus(3,3) = size(mpc.bus, 1);": 3,
    # Without effect.
    "disp('mpc.bus(3,3) = 1;'); fprintf('%d\\n', mpc.bus);\ndisp mpc.bus = 1\nrunpf(mpc);\nmpc.bus": 45,
    "close all, clc; format long; more off\nwarning('off', 'x');\nr = runpf(mpc);": 45,
}


@pytest.mark.parametrize("statements", CHANGES)
def test_a_statement_changes_the_case_as_in_matlab(statements):
    assert case_of(statements)["bus"][2, 2] == CHANGES[statements]


@pytest.mark.parametrize("statements", CHANGES)
def test_lines_that_end_otherwise_are_the_same(statements):
    bus = case_of(statements)["bus"]
    for ends in ("\r\n", "\r"):
        text = (BASE + statements).replace("\n", ends)
        np.testing.assert_array_equal(matlab.run(text, "mpc").values[0]["bus"], bus)


REFUSED = {
    "mpc.bus(3,3) = eat(1);": (4, "eat is not known"),
    "end\nmpc.bus(3,3) = 1;": (5, "after the end of a function only another may follow"),
    "function mpc = other\nmpc.bus(3,3) = 1;\nend": (
        6,
        "of several functions all or none must have an 'end'",
    ),
    "mpc.bus(3,3) = other(1);\nend\nfunction x = other(y)\nx = y;\nend": (
        4,
        "other is a function of the file",
    ),
    "if x, mpc.bus(3,3) = 1; end": (4, "x is not known"),
    "if 1\nmpc.bus(3,3) = 1;": (4, "the block has no 'end'"),
    "if 1\nmpc.bus(3,3) = 1;\nendwhile": (6, "'endwhile' is not expected here"),
    "if 1, x = 1; else, x = 2; else, x = 3; end": (4, "'else' is not expected here"),
    "if mpc.bus' (2), end": (4, "'(' is not expected here"),
    "if NaN, x = 1; end": (4, "NaN is neither true nor false"),
    "if 'a', x = 1; end": (4, "a string is no table of numbers"),
    "try, x = 1; catch, end": (4, "'try' is not expected here"),
    "global x": (4, "'global' is not expected here"),
    "parfor k = 1:3, end": (4, "'parfor' is not expected here"),
    "do\nx = 1;\nuntil 1": (4, "'do' is not expected here"),
    "break": (4, "break is outside of a loop"),
    "for k = zeros(0, 3), end": (4, "a loop over a table of shape (0, 3) is not read"),
    "for k = 1:0, end, x = k;": (4, "k is not known"),
    "for k = {1, 2}, end": (4, "a loop over cells of shape (1, 2) is not read"),
    "while 1\nx = 1;\nend": (4, "take too much work, in loops or on large tables"),
    "switch [1 2], case 1, end": (4, "a table of shape (1, 2) is not one number"),
    "switch 1, x = 1; case 1, end": (4, "'case' was expected, not 'x'"),
    "%{\nmpc.bus(3,3) = 1;": (4, "the comment of %{ has no %}"),
    "%{\n#}\n%}": (5, "#} in the comment of %{ is not read"),
    "x = [1 %{\n%}\n2]": (4, "%{ at the end of a line is not read"),
    "x = 1 %{\n%}": (4, "%{ at the end of a line is not read"),  # a line to MATLAB, more to Octave
    "x = 'a\ny = 1;": (4, "a string has no end on its line"),
    'x = "a\\" % b";': (4, "a string with a backslash before a double quote is not read"),
    "mpc.bus(:, 3) = [1 2];": (4, "3 x 1 entries cannot hold (1, 2) values"),
    "mpc.bus(1:2, 1:2) = [1 2 3 4];": (4, "2 x 2 entries cannot hold (1, 4) values"),
    "mpc.bus(10) = 1;": (4, "an index must be one of 1 to 9"),
    "mpc.bus(4, :) = [];": (4, "an index must be one of 1 to 3"),
    "mpc.bus(2) = [];": (4, "only rows, columns or entries of a vector are deleted"),
    "mpc.bus(1:2, 1) = [];": (4, "only rows, columns or entries of a vector are deleted"),
    "x = []; mpc.bus(1, :) = x;": (4, "1 x 3 entries cannot hold (0, 0) values"),
    "mpc.bus(3,3) = 'a';": (4, "a string is not stored in a table"),
    "mpc.bus(3,3) = {1};": (4, "cells hold only cells"),
    "x = [true false]; x(1) = 5;": (4, "numbers are not stored among logicals"),
    "mpc.u(:, 1) = 2": (4, "mpc.u is no table at this point"),
    "mpc(1).bus = 2": (4, "entries of entries are not assigned"),
    "mpc.('bus') = 2": (4, "'.' is not read"),
    "mpc.baseMVA.x = 2": (4, "a table of shape (1, 1) has no fields"),
    "x = {1, 2}; y = [x{:}];": (4, "the content of several cells is not read"),
    "[mpc.bus, x] = size(1);": (4, "only a variable, a field or entries"),
    "[a, b, c] = size(mpc.bus);": (4, "may return several values, not size"),
    "[A, B, C, D, E, F, G, H] = idx_cost;": (4, "idx_cost returns 7 values, not 8"),
    "x = @(t) t;": (4, "'@' is not read"),
    "!rm file": (4, "'!' is not read"),
    "hold on": (4, "'on' is not expected here"),
    "clear -regexp m": (4, "clear -regexp is not read"),
    "mpc = runpf(mpc);": (4, "an output of the file is not known: runpf is not run"),
    "r = runpf(mpc); mpc.bus = r.bus;": (4, "the value is not known: runpf is not run"),
    "disp(1), end\nfunction disp(x)\nend": (4, "disp is a function of the file"),
    "x = 1;\n\n\ny = [1 2\n3 4)];": (8, "')' closes nothing"),
}


@pytest.mark.parametrize("statements", REFUSED)
def test_what_is_not_carried_out_is_refused_with_its_line(statements):
    line, words = REFUSED[statements]
    (found, reason), *_ = complaints(statements)
    assert words in reason
    assert found == line


def test_a_fault_does_not_hide_the_next_one_and_is_told_once():
    statements = "x = eat(1);\ny = x + 1;\nmpc.bus(3,3) = y;\nz = food;\nif z, w = 1; end\nx = more;"
    assert complaints(statements) == [(4, "eat is not known"), (7, "food is not known")]


def test_the_outputs_of_a_function_come_in_their_order():
    outcome = matlab.run("function [a, b, c] = f\nb = 2; a = 1;\nreturn;\nc = 3;", "mpc")
    assert [None if value is None else value.item() for value in outcome.values] == [1, 2, None]

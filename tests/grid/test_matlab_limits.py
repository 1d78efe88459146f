"""Small files that ask for much: each is answered in time linear in its size, and within bounds.

The texts of a million spaces would take hours in a reader that goes over them more than once.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from anmjax.grid import CaseError, Network, NetworkError, matlab
from anmjax.grid.matlab import limits
from anmjax.grid.matlab.tokens import tokenize
from tests.grid.matpower_samples import CASE, write

N = 1_000_000
WORDS = 50_000
GAP = " " * N
QUOTE = "'"


def reasons(text: str) -> list[str]:
    return [complaint.reason for complaint in matlab.run(text, "x").complaints]


LONG = {
    "a head": f"function mpc = x{GAP}y",
    "a condition": f"if x{GAP}y",
    "a bracket": f"]{GAP}x",
    "an end": f"end{GAP}x",
    "a table": f"x = [1{GAP}y",
    "a table of numbers": f"x = [{'1 ' * WORDS}y",
    "a table of signs": f"x = [{'- ' * WORDS}",
    "open brackets": "x = [1 " * (WORDS),
    "open braces": "x = {'a'; " * (WORDS),
    "quotes": "x = '" + "''" * N,
    "double quotes": 'x = "' + '""' * N,
    "dots": "x = " + "." * N,
    "digits": f"x = {'1' * N}",
    "a fraction": f"x = 1.{'1' * N}",
    "a name": f"{'x' * N} = 1",
    "a name of fields": f"x{'.x' * (WORDS)} = 1",
    "transposes": f"x = y{QUOTE * WORDS}",
    "signs": f"x = {'- ' * WORDS}1",
    "signs of Octave": f"x = {'-' * N}1",
    "parentheses": f"x = {'(' * N}",
    "powers": f"x = 1{'^1' * WORDS}",
    "indices": f"x = x{'{1}' * WORDS}",
    "blocks": "if 1\n" * (WORDS),
    "lines": "\n" * N + ")",
    "continued lines": "x = ...\n" * (WORDS),
    "comments": "%{\n" * (WORDS),
    "closed comments": "%}\n" * (WORDS) + ")",
    "a command": f"clear {GAP}'",
    "carriage returns": "\r" * N + ")",
}


@pytest.mark.parametrize("text", LONG)
def test_a_long_text_is_refused_at_once(text):
    assert reasons(LONG[text])


def test_a_text_twice_as_long_has_twice_the_tokens():
    """The tokenizer takes every character once: what it makes is what it costs."""
    once, twice = (tokenize("x = y + [a -b]; % c\n" * n) for n in (500, 1000))
    assert len(twice) - 2 == 2 * (len(once) - 2)  # but for the newline and stop at the end
    assert all(a.stop <= b.start for a, b in pairwise(twice))


HUGE = {
    "x = [1 1];\n" + "x = [x x];\n" * 40: "is too large: 10000000 at most",
    "x = 'ab';\n" + "x = [x x];\n" * 40: "is too large",
    "x = {1};\n" + "x = [x x];\n" * 40: "is too large",
    "x = zeros(1e5, 1e5);": "is too large",
    "x = ones(1e300);": "the size of a table must be whole numbers",
    "x = cell(1e5);": "is too large",
    "x = 1:1e9;": "is too large",
    "x = 1:1e300;": "a range must be of numbers up to 2^52",
    "x = 1:Inf;": "a range must be of whole numbers",
    "x = 1; x(1e9) = 1;": "is too large",
    "x = 1; x(1e15, 1e15) = 1;": "is too large",
    "c = {}; c{1e9} = 1;": "is too large",
    "x = 1:1e4; y = x + x';": "is too large",
    "x = 1:1e4; x = x(x, x);": "is too large",
    "x = ones(5000, 1); y = x(:, ones(1, 5000));": "is too large",
    "while 1, end": "take too much work",
    "for k = 1:1e7, end": "take too much work",
    "for k = 1:1e4, for j = 1:1e4, x = 1; end, end": "take too much work",
    "x = ones(1000); while 1, x(1) = 2; end": "take too much work",
    "k = 1; while k > 0, k = k + 1; end": "take too much work",
    "mpc = struct();\n" + "s.a = 1;\n" * 3 + "while 1, s.a = s; end": "take too much work",
    f"x = {'(' * 26}1{')' * 26};": "nested deeper than 25",
    f"x = {'- ' * 26}1;": "nested deeper than 25",
    f"x = {'(' * 20}1{QUOTE * 9}{(')' + QUOTE * 9) * 20};": "the expression is nested too deep",
    f"x = 1{QUOTE * 30};": "more than 25 powers and transposes are not read",
    f"x{'.x' * 30} = 1;": "more than 25 fields and indices are not read",
    "c = {1};\n" + "c = {c, c};\n" * 60 + "switch 1, case c, x = 1; end": "cells within the cells",
    "if 1\n" * 26 + "end\n" * 26: "nested deeper than 25",
    f"x = {'1^-' * 30}1;": "an exponent with a sign must stand in parentheses",
}


@pytest.mark.parametrize("text", HUGE)
def test_a_value_or_loop_beyond_the_bounds_is_refused(text):
    assert HUGE[text] in reasons(text)[-1]


def test_what_lies_within_the_bounds_is_carried_out():
    depth = limits.MAX_DEPTH - 2
    text = f"x = {'(' * depth}1{')' * depth} {'+ 1' * 5000};\nfor k = 1:5000, x = x + 1; end"
    outcome = matlab.run(text, "x")
    assert outcome.values[0].item() == 10_001
    text = "if 1\n" * depth + "x = 1;\n" + "end\n" * depth
    assert matlab.run(text, "x").values[0].item() == 1


def test_more_words_than_are_read_are_refused(monkeypatch):
    monkeypatch.setattr("anmjax.grid.matlab.tokens.MAX_TOKENS", 100)
    assert reasons("x = 1;\n" * 30) == ["the file has more than 100 words outside of tables of numbers"]
    table = matlab.run(f"x = [{'1 2 3;' * 1000}];", "x").values[0]  # one word
    np.testing.assert_array_equal(table, np.tile([1.0, 2, 3], (1000, 1)))


def test_a_file_larger_than_is_read_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(matlab, "MAX_BYTES", 100)
    with pytest.raises(CaseError, match="has more than 100 bytes, which are read at most"):
        Network.from_matpower(write(tmp_path, CASE))


def test_a_refusal_by_the_bounds_names_its_line(tmp_path):
    text = CASE + "x = [1 1];\n" + "x = [x x];\n" * 40
    with pytest.raises(NetworkError, match=r"line 61: statement is 'x = \[x x\];', .* is too large"):
        Network.from_matpower(write(tmp_path, text))

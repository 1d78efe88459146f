"""Random programs of the forms that case files use leave the tables that a reference says they do."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from anmjax.grid import matlab
from tests.grid import octave
from tests.grid.matlab_mutations import mutated_text
from tests.grid.matlab_programs import Writer

needs_octave = pytest.mark.skipif(octave.COMMAND is None, reason="octave-cli is not installed")


def table_of(text: str) -> np.ndarray | None:
    """The table ``mpc.t`` that a program leaves; None where it is refused, or leaves none."""
    outcome = matlab.run(text, "mpc")
    case = outcome.values[0] if outcome.values and not outcome.complaints else None
    table = case.get("t") if isinstance(case, dict) else None
    return table if isinstance(table, np.ndarray) and table.dtype != object else None


@pytest.mark.parametrize("seed", range(0, 200, 20))
def test_random_programs_leave_the_table_of_the_reference(seed):
    for number in range(seed, seed + 20):
        text, expected = Writer(number).program()
        outcome = matlab.run(text, "mpc")
        assert not outcome.complaints, text
        np.testing.assert_array_equal(table_of(text), expected, err_msg=text)


@pytest.mark.slow
@needs_octave
def test_random_programs_leave_the_table_of_octave(tmp_path):
    programs, expected = {}, {}
    for seed in range(1000, 3000):
        text, _ = Writer(seed).program()
        programs[f"p{seed}"] = text.replace("NAME", f"p{seed}")
        expected[f"p{seed}"] = table_of(text)
    found = octave.tables(tmp_path, programs)
    for name, text in programs.items():
        np.testing.assert_array_equal(found[name], expected[name], err_msg=text)


@pytest.mark.slow
@needs_octave
def test_a_damaged_program_is_refused_or_leaves_the_table_of_octave(tmp_path):
    """Never another table in silence: what is read at all is read as Octave does."""
    programs, expected = {}, {}
    for seed in range(10_000):
        text, _ = Writer(seed % 500).program()
        if len(text) < 1200:
            head, body = text.split("\n", 1)
            text = f"{head}\n{mutated_text(Random(seed), body, foreign=False)}".replace("NAME", f"p{seed}")
            table = table_of(text)
            if table is not None:
                programs[f"p{seed}"], expected[f"p{seed}"] = text, table
    found = octave.tables(tmp_path, programs)
    refused = 0
    for name, text in programs.items():
        if isinstance(found[name], str):
            refused += 1
        else:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=text)
    assert len(programs) > 1000
    # What Octave alone refuses: words of format and disp, '...' behind a number, a break nothing reaches.
    assert refused < len(programs) / 50

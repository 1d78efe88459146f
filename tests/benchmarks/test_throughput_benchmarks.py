"""What the records of throughput are made of: counted operations, compared curves, combined records."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.env_step.parts import operations
from benchmarks.harness import record
from benchmarks.training import scaling


def test_operations_are_counted_by_the_numbers_they_make():
    def function(x):
        y = jnp.sin(x) * x  # two for each of 5
        return jax.jit(jnp.sum)(y) + y[0]  # a sum of 5, and one more

    assert operations(jax.make_jaxpr(function)(jnp.ones(5)).jaxpr) == 2 * 5 + 5 + 1


def test_operations_of_a_loop_are_not_guessed():
    loop = jax.make_jaxpr(lambda x: jax.lax.while_loop(lambda x: x < 9, lambda x: x + 1, x))(1.0)
    with pytest.raises(ValueError, match="loop"):
        operations(loop.jaxpr)


def test_curves_differ_by_their_worst_entry_and_not_by_their_clocks():
    first = [{"loss": 2.0, "return": -4.0, "seconds": 1.0}, {"loss": 1.0, "return": -8.0, "seconds": 2.0}]
    other = [{"loss": 2.0, "return": -4.0, "seconds": 5.0}, {"loss": 1.5, "return": -8.4, "seconds": 9.0}]
    # 0.5 of 2 is more than 0.4 of 8.
    np.testing.assert_allclose(scaling.difference(other, first), [0.0, 0.25])


def test_a_part_of_a_whole_record_is_as_good_as_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    old = {"benchmark": "training.ppo", "date": "2026-01-01", "machine": {"platform": "cpu"}, "rows": [1]}
    new = {**old, "date": "2026-01-02", "rows": [2]}
    record.write(old, tmp_path / "training.ppo-here.json")
    rows = [{"part": "checks", "record": None}, {"part": "ppo", "record": new}]
    (tmp_path / "all-here.json").write_text(json.dumps({"rows": rows}))
    assert record.latest("training.ppo", "cpu") == new
    assert record.latest("training.ppo", "gpu") is None

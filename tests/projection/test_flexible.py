"""Flexible loads and chargers: all energy that is asked for is served, owed or unserved, and none besides."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from anmjax import EVCharger, FlexibleLoad, Network, NetworkError
from anmjax.projection.flexible import Waiting, serve, served_at_once
from tests.envs.samples import NETWORK

NET = Network.from_dict(NETWORK).with_devices(
    FlexibleLoad(1, p_mw=4.0, shift_mwh=3.0, name="pumps"),
    EVCharger(2, p_mw=2.0, capacity_mwh=5.0, name="car"),
    FlexibleLoad(2, p_mw=3.0, name="shed"),
    EVCharger(3, p_mw=1.0, capacity_mwh=5.0),
)
HOURS = 0.5
BASE = 10.0
CHARGERS = [1, 3]


def drawn(rng: np.random.Generator, size: int) -> tuple[Waiting, jax.Array]:
    """Random needs of many lanes, cars among them that leave after the step or are not there."""
    owed = rng.uniform(0, 0.3, (4, size)) * rng.integers(0, 2, (4, size))
    stay = rng.choice([0, HOURS, 2 * HOURS, 8.0], (2, size))
    owed[CHARGERS] *= stay > 0
    arriving = rng.uniform(0, 0.5, (4, size)) * rng.integers(0, 2, (4, size))
    arriving[CHARGERS] *= stay > 0
    asked = rng.choice([0.0, -0.05, -0.2, -1e6, 0.3], (4, size))
    return Waiting(*map(jnp.asarray, (owed, stay, asked))), jnp.asarray(arriving)


def batched(net: Network) -> Network:
    return jax.tree.map(lambda x: jnp.asarray(x)[..., None], net)


def test_energy_is_served_owed_or_lost() -> None:
    waiting, arriving = drawn(np.random.default_rng(0), 2000)
    served = serve(batched(NET), waiting, arriving, delta_t=HOURS)
    came = waiting.owed + HOURS * arriving
    np.testing.assert_allclose(came, -HOURS * served.p + served.owed + served.unserved, atol=1e-12)
    for part in (-served.p, served.owed, served.unserved):
        assert part.min() >= 0
    assert (-served.p <= np.array([[0.4], [0.2], [0.3], [0.1]])).all()
    assert (-served.p <= jnp.maximum(-waiting.asked, 0)).all()  # nobody is given more than was asked for
    assert (served.owed <= np.array([[0.3], [0.5], [0.0], [0.5]]) + 1e-12).all()
    gone = np.asarray(waiting.stay) <= HOURS
    assert (served.owed[np.array(CHARGERS)][gone] == 0).all()
    assert (served.p[np.array(CHARGERS)][np.asarray(waiting.stay) == 0] == 0).all()
    # Each kind of step is among the lanes.
    assert all(((x > 0).sum(1) > 50).all() for x in (-served.p, served.unserved))


def test_what_is_asked_for_in_full_is_served_at_once() -> None:
    rng = np.random.default_rng(1)
    owed, arriving = jnp.array([0.1, 0.0, 0.0, 0.2]), jnp.asarray(rng.uniform(0, 0.3, (4, 6)))
    stay = jnp.array([[2.0, 1.5, 1.0, 0.5, 0.0, 3.0], [0.5, 0, 0, 4.0, 3.5, 3.0]])
    arriving = arriving.at[jnp.array(CHARGERS)].multiply((stay > 0).astype(float))
    net = jax.tree.map(jnp.asarray, NET)
    ahead = served_at_once(net, owed, arriving, stay, delta_t=HOURS)
    for k in range(6):
        done = serve(net, Waiting(owed, stay[:, k], jnp.full(4, -9.0)), arriving[:, k], delta_t=HOURS)
        np.testing.assert_allclose(ahead[:, k], done.p, rtol=1e-12)
        owed = done.owed


def test_slopes_are_those_of_differences() -> None:
    net = jax.tree.map(jnp.asarray, NET)
    stay, arriving = jnp.array([2.0, 2.0]), jnp.array([0.2, 0.1, 0.1, 0.1])
    owed, asked = jnp.array([0.1, 0.2, 0.0, 0.1]), jnp.array([-0.15, -0.1, -0.05, -0.04])

    def total(owed: jax.Array, asked: jax.Array) -> Any:
        served = serve(net, Waiting(owed, stay, asked), arriving, delta_t=HOURS)
        return (jnp.array([1.0, 2, 3, 4]) * (served.owed - 3 * served.p + 5 * served.unserved)).sum()

    for k in range(2):
        slope = jax.grad(total, k)(owed, asked)
        for i in range(4):
            ends = []
            for sign in (1, -1):
                moved = [owed, asked]
                moved[k] = moved[k].at[i].add(sign * 1e-6)
                ends.append(total(*moved))
            np.testing.assert_allclose(slope[i], (ends[0] - ends[1]) / 2e-6, rtol=1e-6)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: FlexibleLoad(1), "p_mw is inf"),
        (lambda: FlexibleLoad(1, p_mw=1, shift_mwh=-1), "shift_mwh is -1"),
        (lambda: EVCharger(1, p_mw=-1), "p_mw is -1"),
        (lambda: EVCharger(1, capacity_mwh="big"), "capacity_mwh is 'big'"),  # type: ignore[arg-type]
        (lambda: EVCharger(1, unserved_cost=np.nan), "unserved_cost is nan"),
        (lambda: NET.with_devices(EVCharger(77)), "bus is 77"),
        (lambda: NET.with_devices(EVCharger(1, name="car")), "name is 'car'"),
    ],
)
def test_faults_name_what_is_wrong(build: Any, message: str) -> None:
    with pytest.raises(NetworkError) as caught:
        build()
    assert message in str(caught.value)


def test_devices_come_and_go_with_what_they_may_be_owed() -> None:
    assert NET.flexible == (5, 6, 7, 8)
    assert NET.chargers == (6, 8)
    left = NET.without_devices("pumps", 8)
    assert left.flexible == (5, 6)
    assert left.flexibility is not None
    np.testing.assert_allclose(left.flexibility.most_owed * BASE, [5.0, 0.0])
    none: Any = left.without_devices("car", "shed")
    assert none.flexibility is None
    with pytest.raises(ValueError, match="flexible loads or chargers"):
        NET.to_dict()

"""Observation lists against gym-anm: every quantity in every unit, bounds, and its known errors put right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gym_anm.envs.anm6_env.network import network as anm6
from gym_anm.envs.anm_env import ANMEnv as GymANMEnv

import anmjax
from tests.oracle.exact_gym_anm import exact_gym_anm, reset_to, step

UNITS = {
    "bus_p": ("MW", "pu"),
    "bus_q": ("MVAr", "pu"),
    "bus_v_magn": ("pu", "kV"),
    "bus_v_ang": ("degree", "rad"),
    "bus_i_magn": ("pu", "kA"),
    "bus_i_ang": ("degree", "rad"),
    "dev_p": ("MW", "pu"),
    "dev_q": ("MVAr", "pu"),
    "des_soc": ("MWh", "pu"),
    "gen_p_max": ("MW", "pu"),
    "branch_p": ("MW", "pu"),
    "branch_q": ("MVAr", "pu"),
    "branch_s": ("MVA", "pu"),
    "branch_i_magn": ("pu",),
    "branch_i_ang": ("degree", "rad"),
    "aux": (None,),
}
EVERYTHING = [(quantity, "all", unit) for quantity, units in UNITS.items() for unit in units]
# Without units (gym-anm has no default for branch_i_magn: it takes the first letter of "pu"), and by id.
DEFAULT_UNITS = [(quantity, "all") for quantity in UNITS if quantity not in ("branch_i_magn", "aux")]
SELECTED = [
    ("branch_s", [(2, 5), (0, 1)], "pu"),
    ("dev_q", [6, 2], "MVAr"),
    ("aux", [1]),
    ("bus_v_magn", [4]),
    ("gen_p_max", [4], "pu"),
]

SETTINGS: dict[str, Any] = {"K": 2, "delta_t": 0.25, "gamma": 0.995, "lamb": 100, "costs_clipping": (1, 100)}
AUX_BOUNDS = np.array([[0.0, 10.0], [-1.0, 1.0]])
# Loads 1, 3, 5 and potentials 2, 4 (MW), two auxiliary variables of which the second lies beyond its bound.
NEXT = np.array([-4.0, -12.0, -8.0, 24.0, 31.0, 3.0, 1.5])
START = np.concatenate([np.zeros(14), [40.0, 30.0, 50.0, 2.0, 0.5]])
ACTION = np.array([23.0, 33.0, 4.0, -11.0, -6.5, 3.0])

# Rounding, in degrees and MW: 100 p.u. times the agreement of the voltages.
TOLERANCE = 1e-9


class TheirTask(GymANMEnv):
    def next_vars(self, s_t: np.ndarray) -> np.ndarray:
        return NEXT


class OurTask(anmjax.ANMEnv):
    def next_vars(self, key: jax.Array, state: jax.Array) -> jax.Array:
        return jnp.asarray(NEXT, state.dtype)


def network_with_small_q() -> dict[str, Any]:
    """ANM6, but for a PV plant whose QMAX is below its P, so that a bound on P made from it shows."""
    device = anm6["device"].copy()
    device[2, [6, 7, 10, 11]] = [15, -15, 5, -5]
    return {**anm6, "device": device}


@dataclass(frozen=True)
class Observed:
    """One step seen through both packages."""

    theirs: GymANMEnv
    expected: np.ndarray  # (n_obs,)
    ours: anmjax.ANMEnv
    observed: np.ndarray  # (n_obs,)

    def entry(self, vector: Any, quantity: str, unit: str | None) -> np.ndarray:
        """The part of an observation, or of a bound, that belongs to one entry of the list."""
        sizes = [len(ids) for _, ids, _ in self.theirs.obs_values]
        position = [(q, u) for q, _, u in self.theirs.obs_values].index((quantity, unit))
        return np.split(np.asarray(vector), np.cumsum(sizes)[:-1])[position]


def look(observation: Sequence[Any]) -> Observed:
    network = network_with_small_q()
    theirs = TheirTask(network, list(observation), aux_bounds=AUX_BOUNDS, **SETTINGS)
    ours = OurTask(network, list(observation), aux_bounds=AUX_BOUNDS, **SETTINGS)
    with exact_gym_anm():
        reset_to(theirs, START)
        expected = step(theirs, ACTION).obs
    key = jax.random.key(0)
    state = jax.jit(lambda start, action: ours.step(ours.reset_to(key, start), action))(START, ACTION)
    assert not state.terminated
    return Observed(theirs, expected, ours, np.asarray(state.obs))


@pytest.fixture(scope="module")
def everything() -> Observed:
    return look(EVERYTHING)


@pytest.mark.parametrize(("quantity", "unit"), [(q, u) for q, _, u in EVERYTHING])
def test_every_quantity_in_every_unit_equals_gym_anms(
    everything: Observed, quantity: str, unit: str | None
) -> None:
    expected = everything.entry(everything.expected, quantity, unit)
    observed = everything.entry(everything.observed, quantity, unit)
    simulator = everything.theirs.simulator
    compare = np.ones(expected.shape, bool)
    if (quantity, unit) == ("bus_i_magn", "kA"):
        expected = expected / np.sqrt(3)  # the base current of a three-phase system
    elif (quantity, unit) == ("gen_p_max", "MW"):
        expected = NEXT[3:5]  # which gym-anm clips at QMAX
    elif quantity == "branch_i_magn":
        # With NumPy 2 its np.sign(i).real * |i| is the real part of i: np.sign(i) became i / |i|.
        i = np.array([branch.i_from for branch in simulator.branches.values()])
        expected = np.sign(i.real) * np.abs(i)
    elif quantity == "bus_i_ang":
        # Where nothing is connected no current flows, and its angle is that of the rounding.
        compare = np.abs([bus.i for bus in simulator.buses.values()]) > 1e-3
        assert compare.sum() == 4
    np.testing.assert_allclose(observed[compare], expected[compare], rtol=0, atol=TOLERANCE)
    assert np.isfinite(observed).all()


@pytest.mark.parametrize(("quantity", "unit"), [(q, u) for q, _, u in EVERYTHING])
def test_every_bound_equals_gym_anms(everything: Observed, quantity: str, unit: str | None) -> None:
    space, their_space = everything.ours.observation_space, everything.theirs.observation_space
    low, high = (everything.entry(side, quantity, unit) for side in (space.low, space.high))
    expected_low, expected_high = (
        everything.entry(side, quantity, unit) for side in (their_space.low, their_space.high)
    )
    if (quantity, unit) == ("gen_p_max", "MW"):
        assert expected_high[0] == 15  # QMAX
        expected_high = np.array([30.0, 50.0])  # PMAX
    np.testing.assert_allclose(low, expected_low, rtol=1e-14)
    np.testing.assert_allclose(high, expected_high, rtol=1e-14)


def test_selected_elements_and_default_units_equal_gym_anms() -> None:
    seen = look([*SELECTED, *DEFAULT_UNITS])
    difference = np.abs(seen.observed - seen.expected)
    # Left out: the PV plant's potential (see above) and the angle of the current at two empty buses.
    values = seen.theirs.obs_values
    names = [(quantity, element) for quantity, ids, _ in values for element in ids]
    known = [("gen_p_max", 2), ("bus_i_ang", 1), ("bus_i_ang", 2)]
    compare = np.array([name not in known for name in names])
    assert (~compare).sum() == len(known)
    assert difference[compare].max() <= TOLERANCE

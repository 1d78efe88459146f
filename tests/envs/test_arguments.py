"""What a task cannot be built from, or stepped with, is refused in one clear sentence."""

from __future__ import annotations

import math
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import anmjax
from anmjax import ANMEnv, InitialState, Network, NetworkError, transition
from anmjax.agents.mpc import dc_model
from tests.envs.samples import NETWORK, Feeder, start

KEY = jax.random.key(0)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"K": -1}, "K is -1, but must be >= 0"),
        ({"delta_t": 0}, "delta_t is 0.0, but must be > 0 and finite, in hours"),
        ({"delta_t": math.nan}, "delta_t is nan"),
        ({"gamma": 1.5}, r"gamma is 1.5, but must be in \[0, 1\]"),
        ({"gamma": -0.1}, "gamma is -0.1"),
        ({"lamb": -1}, "lamb is -1.0, but must be >= 0 and finite"),
        ({"lamb": math.inf}, "lamb is inf"),
        (
            {"costs_clipping": (-1, 3)},
            r"costs_clipping is \(-1.0, 3.0\), but must be two numbers >= 0, or None",
        ),
        ({"costs_clipping": (1,)}, r"costs_clipping is \(1,\), but must be two numbers >= 0, or None"),
        ({"costs_clipping": 3}, "costs_clipping is 3, but must be two numbers"),
        ({"reward": "enrgy"}, "reward is 'enrgy', but must be one of 'penalized', 'energy'"),
        ({"reward": None}, "reward is None, but must be one of"),
        ({"num_iters": 0}, "num_iters is 0, but must be >= 1"),
        ({"tol": 0}, "tol is 0.0, but must be > 0 and finite, in p.u."),
        ({"aux_bounds": [[0, 1]]}, r"aux_bounds has shape \(1, 2\), but must be \(3, 2\): low and high"),
        ({"aux_bounds": [0, 1, 2]}, r"aux_bounds has shape \(3,\)"),
    ],
)
def test_an_argument_out_of_range_is_named_with_its_value(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Feeder(**arguments)


@pytest.mark.parametrize(
    ("observation", "sentence"),
    [
        ("State", "observation is 'State', but must be 'state', a list"),
        (None, "observation is None, but must be 'state', a list"),
        (["dev_p"], r"observation entry 'dev_p' must be \(quantity, ids or 'all'"),
        ([("dev_p",)], r"observation entry \('dev_p',\) must be"),
        ([("dev_p", "all", "MW", 1)], "must be"),
        ([("dev_pp", "all")], "unknown quantity 'dev_pp', did you mean 'dev_p'"),
        ([("weather", "all")], r"unknown quantity 'weather' \(known: bus_p, bus_q"),
        ([("bus_v_magn", "all", "MW")], r"bus_v_magn is not available in 'MW', only in \('pu', 'kV'\)"),
        ([("dev_p", "some")], "dev_p: ids are a list or 'all', not 'some'"),
        ([("dev_p", 3)], "dev_p: ids are a list or 'all', not 3"),
        ([("dev_p", [1, 9])], r"dev_p: no element 9 \(known: \[0, 1, 2, 3, 4\]\)"),
        ([("des_soc", [2])], r"des_soc: no element 2 \(known: \[4\]\)"),
        ([("gen_p_max", [0])], r"gen_p_max: no element 0 \(known: \[2, 3\]\)"),
        ([("branch_p", [(1, 0)])], r"branch_p: no element \(1, 0\) \(known: \[\(0, 1\)"),
        ([("aux", [3])], r"aux: no element 3 \(known: \[0, 1, 2\]\)"),
    ],
)
def test_an_observation_at_fault_is_named_with_what_is_allowed(observation: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Feeder(observation)


def test_several_slacks_are_refused_where_devices_are_dispatched_around_one() -> None:
    two = Network.from_dict(NETWORK).replace(slacks=(0, 2), slack_angle=np.zeros(2))
    with pytest.raises(ValueError, match="network is one with 2 slack buses, but must be one with exactly"):
        ANMEnv(two, "state", 0, 1.0, 0.9, 1)
    sizes = 1, len(two.loads), len(two.generators), len(two.generators) + 1, len(two.generators) + 1
    with pytest.raises(ValueError, match=r"2 slack buses \(0, 2\), and devices are dispatched around"):
        transition(two, *(np.zeros(n) for n in sizes), delta_t=1.0)
    with pytest.raises(ValueError, match="2 slack buses"):
        dc_model(two)


def test_a_network_at_fault_is_refused_with_its_faults() -> None:
    with pytest.raises(NetworkError, match="baseMVA"):
        ANMEnv({**NETWORK, "baseMVA": -1}, "state", 0, 1.0, 0.9, 1)


def test_a_task_without_its_two_functions_says_what_to_define() -> None:
    env = ANMEnv(NETWORK, "state", 0, 1.0, 0.9, 1)
    with pytest.raises(NotImplementedError, match=r"ANMEnv must define init_state\(self, key\)"):
        env.reset(KEY)
    with pytest.raises(NotImplementedError, match=r"ANMEnv must define next_vars\(self, key, state\)"):
        env.next_vars(KEY, jnp.zeros(13))


class TooFew(Feeder):
    """Forgets the auxiliary variables."""

    def next_vars(self, key: jax.Array, state: jax.Array) -> jax.Array:
        """Three numbers instead of six."""
        return super().next_vars(key, state)[:3]


def test_arrays_of_the_wrong_shape_are_refused_when_traced() -> None:
    env = Feeder()
    state = jax.eval_shape(env.reset_to, KEY, start())
    for shape in [(5,), (7,), (4, 6), ()]:
        action = jax.ShapeDtypeStruct(shape, float)
        with pytest.raises(ValueError, match=r"the action has shape .*, expected \(6,\): P of 2 generators"):
            jax.eval_shape(env.step, state, action)
    with pytest.raises(
        ValueError, match=r"next_vars of TooFew returned shape \(3,\), expected \(6,\): 1 loads"
    ):
        jax.eval_shape(TooFew().step, state, jnp.zeros(6))
    with pytest.raises(ValueError, match=r"start state has shape \(15,\), expected \(16,\): P and Q of 5"):
        jax.eval_shape(env.reset_to, KEY, start()[:-1])
    parts = InitialState(*(np.zeros(n) for n in (5, 4, 1, 2, 3)))
    with pytest.raises(ValueError, match=r"q_dev of the start has shape \(4,\), expected \(5,\)"):
        env.reset_to(KEY, parts)


def test_replace_copies_and_names_an_unknown_attribute() -> None:
    env = Feeder()
    other = env.replace(gamma=0.5, noise=jnp.array(2.0))
    assert (other.gamma, float(other.noise)) == (0.5, 2.0)
    assert (env.gamma, float(env.noise)) == (0.9, 0.0)
    assert type(other) is Feeder
    with pytest.raises(ValueError, match="Feeder has no attribute 'gama' to replace"):
        env.replace(gama=0.5)


ENV = Feeder()


@pytest.mark.parametrize(
    ("key", "error", "sentence"),
    [
        (0, TypeError, "key is 0, expected a key, as jax.random.key(0) makes one"),
        (None, TypeError, "key is None, expected a key"),
        (np.zeros(2, np.uint32), TypeError, "key is of the old style of jax.random.PRNGKey, expected a key"),
        (jax.random.key_data(KEY), TypeError, "key is of the old style of jax.random.PRNGKey"),
        (
            jax.random.split(KEY, 3),
            ValueError,
            "key has shape (3,), expected one key; for many lanes, jax.vmap",
        ),
    ],
)
def test_what_is_no_key_is_refused(key: Any, error: type[Exception], sentence: str) -> None:
    for function in (ENV.reset, lambda key: ENV.reset_to(key, start()), anmjax.TimeLimit(ENV, 3).reset):
        with pytest.raises(error, match=re.escape(sentence)):
            function(key)


def test_what_is_no_state_is_refused() -> None:
    state = jax.eval_shape(ENV.reset_to, KEY, start())
    action = jnp.zeros(6)
    for wrong, error, sentence in (
        ((state, 0), TypeError, "state is a tuple, expected a State, as reset and step return it"),
        (state.obs, TypeError, "state is a ShapeDtypeStruct, expected a State"),
        (
            jax.eval_shape(jax.vmap(ENV.reset), jax.random.split(KEY, 4)),
            ValueError,
            "grid.p of the state has shape (4, 5), expected (5,); for many lanes, jax.vmap the function",
        ),
        (
            jax.eval_shape(anmjax.make("ANM6Easy-v0").reset, KEY),
            ValueError,
            "grid.p of the state has shape (7,), expected (5,); another environment's?",
        ),
        (state.replace(key=None), TypeError, "key is None, expected a key"),
    ):
        with pytest.raises(error, match=re.escape(sentence)):
            ENV.step(wrong, action)


def test_numbers_that_are_not_real_are_refused_and_real_ones_of_any_type_taken() -> None:
    state = jax.eval_shape(ENV.reset_to, KEY, start())
    with pytest.raises(TypeError, match="the action is of type complex128, expected real numbers"):
        jax.eval_shape(ENV.step, state, jnp.zeros(6, complex))
    with pytest.raises(TypeError, match="the action is of type <U1, expected real numbers"):
        jax.eval_shape(lambda state: ENV.step(state, ["a"] * 6), state)
    with pytest.raises(TypeError, match="p_dev of the start is of type complex128, expected real numbers"):
        ENV.reset_to(KEY, start().astype(complex))
    for dtype in (jnp.float16, jnp.bfloat16, np.float32, int, bool):
        assert jax.eval_shape(ENV.step, state, jnp.zeros(6, dtype)).obs.dtype == np.float64


def test_a_start_that_is_not_finite_is_refused_or_a_collapse_where_its_numbers_are_not_known() -> None:
    at_fault = np.tile(np.asarray(start()), (4, 1))
    at_fault[[1, 2, 3], [10, 13, 1]] = np.nan, np.inf, np.nan  # the charge, an auxiliary variable, a load
    for row, sentence in (
        (1, "soc[0] of the start is nan"),
        (2, "aux[0] of the start is inf"),
        (3, "p_dev[1]"),
    ):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            ENV.reset_to(KEY, at_fault[row])
    states = jax.jit(jax.vmap(ENV.reset_to, in_axes=(None, 0)))(KEY, at_fault)
    np.testing.assert_array_equal(states.terminated, [False, True, True, True])
    assert np.isfinite(states.obs).all()


def test_components_of_an_action_that_are_no_numbers_ask_for_nothing_and_infinite_ones_for_all() -> None:
    after = [
        [np.nan, 1.0, np.nan, 0.5, np.nan, np.nan],
        [0.0, 1.0, 0.0, 0.5, 0.0, 0.0],
        [np.inf, 1.0, 0.0, -np.inf, np.inf, 0.0],
        [1e9, 1.0, 0.0, -1e9, 1e9, 0.0],
    ]
    state = jax.jit(ENV.reset_to)(KEY, start())
    states = jax.jit(jax.vmap(ENV.step, in_axes=(None, 0)))(state, jnp.array(after))
    np.testing.assert_array_equal(states.metrics["action_finite"], [False, True, False, True])
    np.testing.assert_array_equal(states.terminated, [False] * 4)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(states.replace(key=None)))
    np.testing.assert_array_equal(states.obs[0], states.obs[1])
    np.testing.assert_allclose(states.obs[2], states.obs[3], rtol=1e-9)


class Spoilt(Feeder):
    """Draws variables of which one is not finite."""

    which = 0

    def next_vars(self, key: jax.Array, state: jax.Array) -> jax.Array:
        """The scripted ones, but for one."""
        return super().next_vars(key, state).at[self.which].set(jnp.nan)


def test_variables_that_are_not_finite_are_a_collapse() -> None:
    env = Spoilt()
    state = jax.jit(env.reset_to)(KEY, start())
    for which in (0, 1, 3):  # a load, a potential, an auxiliary variable
        env.__dict__["which"] = which
        after = jax.jit(lambda s: env.step(s, jnp.zeros(6)))(state)
        # -c2 / (1 - gamma) = -20 / 0.1
        assert (bool(after.terminated), float(after.reward)) == (True, pytest.approx(-200, rel=1e-12))
        assert bool(after.metrics["action_finite"])
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(after.replace(key=None)))

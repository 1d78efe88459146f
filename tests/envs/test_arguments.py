"""What a task cannot be built from, or stepped with, is refused in one clear sentence."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

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

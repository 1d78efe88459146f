"""ExploringStarts: a pool of starts, and which of them random actions led to."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from anmjax.wrappers.exploring_starts import ExploringStarts, exploring_starts
from tests.agents.probes import Match, TwoSteps

KEY = jax.random.key(0)


def test_exploring_starts_are_resets_but_for_the_share_that_wandered():
    env = Match()
    resets = jax.vmap(lambda key: env.reset(key).aux)(jax.random.split(jax.random.split(KEY, 4)[0], 50))
    for share in (0.0, 1.0):
        starts = exploring_starts(env, KEY, num_starts=50, share=share, max_steps=3)
        moved = np.any(np.asarray(starts.aux != resets), axis=-1)
        np.testing.assert_array_equal(moved, np.full(50, share == 1.0))
        np.testing.assert_array_equal(starts.obs[:, 0], starts.aux[:, 0])
        np.testing.assert_array_equal(starts.t, np.zeros(50))


def test_no_exploring_start_has_collapsed():
    # Every second step collapses: at most one is taken, and the observation of a collapse is all zeros.
    starts = exploring_starts(TwoSteps(), KEY, num_starts=20, share=1.0, max_steps=5)
    np.testing.assert_array_equal(starts.obs, np.tile([1.0, 7.0], (20, 1)))


def test_the_wrapper_draws_every_start_from_its_pool_and_steps_on_as_the_environment_does():
    env = ExploringStarts(Match(), share=0.5, max_steps=3, num_starts=50, key=KEY)
    keys = jax.random.split(KEY, 20)
    states = jax.vmap(env.reset)(keys)
    pool = exploring_starts(Match(), KEY, num_starts=50, share=0.5, max_steps=3)
    among = np.all(np.asarray(states.aux)[:, None] == np.asarray(pool.aux)[None], axis=-1)
    assert among.any(axis=1).all()
    assert (among.any(axis=0).sum()) > 5  # not one for all
    np.testing.assert_array_equal(jax.random.key_data(states.key), jax.random.key_data(keys))
    action = env.action_space.sample(KEY)
    one = jax.tree.map(lambda leaf: leaf[0], states)
    np.testing.assert_array_equal(env.step(one, action).reward, Match().step(one, action).reward)


@pytest.mark.parametrize("options", [{"share": 1.1}, {"max_steps": 0}, {"num_starts": 0}])
def test_a_pool_of_starts_that_cannot_be_is_refused(options):
    with pytest.raises(ValueError, match=r"but (both )?must be"):
        ExploringStarts(Match(), **options)

"""rollout: the table of a policy's steps is what stepping by hand gives."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import anmjax
from anmjax.adapters.recording import Rollout
from tests.agents.probes import Match

HORIZON = 3


def still(key: jax.Array, obs: jax.Array) -> jax.Array:
    """Asks for nothing but a little charge."""
    return jnp.zeros(6).at[4].set(-1.0)


@pytest.fixture(scope="module")
def env() -> anmjax.TimeLimit:
    return anmjax.TimeLimit(anmjax.make("ANM6Easy-v0"), max_steps=2)


@pytest.fixture(scope="module")
def recorded(env: anmjax.TimeLimit) -> Rollout:
    return anmjax.rollout(env, still, jax.tree.map(lambda x: x[:2], env.evaluation_starts()), HORIZON)


def test_the_table_has_a_row_for_each_step_until_the_end_with_names_and_units(
    env: anmjax.TimeLimit, recorded: Rollout
) -> None:
    table = recorded.to_dataframe()
    # Two lanes of three steps, of which the limit of two leaves two.
    assert table[["lane", "step"]].to_numpy().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert table["truncated"].tolist() == [False, True] * 2
    named = ["obs_dev_p_6_MW", "obs_des_soc_6_MWh", "action_p_mw_6", "next_obs_aux_0", "e_loss"]
    assert not set(named) - set(table.columns)
    assert list(table["action_p_mw_6"]) == [-1.0] * 4
    assert list(table["obs_aux_0"]) == [0, 1, 1, 2]  # hours of the first two starts, in quarters

    state = env.reset_to(jax.random.key(0), jax.tree.map(lambda x: x[1], env.evaluation_starts()))
    step = jax.jit(env.step)
    for row in table[table["lane"] == 1].itertuples():
        state = step(state, still(None, None))
        # Another program than that of two lanes: rounding.
        np.testing.assert_allclose(row.reward, state.reward, rtol=1e-9)
        np.testing.assert_allclose(row.next_obs_des_soc_6_MWh, state.obs[14], rtol=1e-9)
        np.testing.assert_allclose(row.cost_branch_violation, state.costs[1], rtol=1e-9, atol=1e-12)


def test_offline_data_marks_ends_and_cuts(recorded: Rollout, tmp_path) -> None:
    recorded.to_npz(tmp_path / "steps.npz")
    data = np.load(tmp_path / "steps.npz")
    assert data["observations"].shape == data["next_observations"].shape == (4, 18)
    assert data["actions"].shape == (4, 6)
    assert data["timeouts"].tolist() == [False, True] * 2
    assert not data["terminals"].any()
    np.testing.assert_array_equal(data["observations"][1], data["next_observations"][0])
    assert data["action_names"][4] == "p_mw_6"


def test_a_file_of_values_or_parquet_is_the_table(recorded: Rollout, tmp_path) -> None:
    table = recorded.to_dataframe()
    recorded.to_csv(tmp_path / "steps.csv")
    # As pandas reads numbers if it is to read what was written.
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "steps.csv", float_precision="round_trip"), table)
    pytest.importorskip("pyarrow")
    recorded.to_parquet(tmp_path / "steps.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "steps.parquet"), table)


@pytest.mark.parametrize("horizon", [7, 41])
def test_progress_is_that_of_every_lane_and_changes_no_number(horizon: int) -> None:
    def policy(key: jax.Array, obs: jax.Array) -> jax.Array:
        return obs[:1] + jax.random.normal(key, (1,))

    seen: list[int] = []
    whole = anmjax.rollout(Match(), policy, 3, horizon)
    parts = anmjax.rollout(Match(), policy, 3, horizon, progress=seen.append)
    jax.tree.map(np.testing.assert_array_equal, parts, whole)
    size = -(-horizon // 20)
    assert seen == [*range(size, horizon, size), horizon]


def test_what_is_asked_for_is_checked(env: anmjax.TimeLimit) -> None:
    with pytest.raises(ValueError, match="horizon is 0"):
        anmjax.rollout(env, still, 1, 0)
    with pytest.raises(ValueError, match="resets by itself"):
        anmjax.rollout(anmjax.AutoReset(env, pool_size=None), still, 1, 1)

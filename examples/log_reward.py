"""Rewards that learners of other libraries take, for the programs beside this one."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp

import anmjax


class LogReward(anmjax.Wrapper):
    """Rewards r as sign(r) log(1 + |r|): those of good steps as they are, of violated limits on one scale.

    A collapse, which ends an episode, still costs as much as its worst step for ever after.
    """

    discount: float

    def step(self, state: anmjax.State, action: jax.Array) -> anmjax.State:
        """Advances by one step."""
        after = self.env.step(state, action)
        a_step = jnp.where(after.terminated, (1 - self.env.gamma) * after.reward, after.reward)
        scaled = jnp.sign(a_step) * jnp.log1p(jnp.abs(a_step))
        return replace(after, reward=jnp.where(after.terminated, scaled / (1 - self.discount), scaled))

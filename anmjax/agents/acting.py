"""What policies are asked for: the action in a state."""

from __future__ import annotations

import functools
from typing import Any

import jax

from anmjax.envs.records import State


def action_of(policy: Any, key: jax.Array, state: State) -> jax.Array:
    """The action, (n_action,), of a policy, see ``evaluate``, in the state of one lane."""
    return policy.act(key, state) if hasattr(policy, "act") else policy(key, state.obs)


def actions_of(policy: Any, keys: jax.Array, states: State) -> jax.Array:
    """Actions of a policy in a batch of states: keys (n,) -> (n, n_action)."""
    return jax.vmap(functools.partial(action_of, policy))(keys, states)

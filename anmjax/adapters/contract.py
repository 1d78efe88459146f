"""check_env: whether an environment keeps what learners, wrappers and evaluations rely on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

_NUM_LANES = 16
_NUM_STEPS = 32


class ContractError(ValueError):
    """An environment breaks its contract; ``faults`` has a sentence for each way in which it does."""

    def __init__(self, name: str, faults: tuple[str, ...]) -> None:
        super().__init__("\n- ".join([f"{name} has {len(faults)} faults:", *faults]))
        self.faults = faults


def check_env(env: Any, key: jax.Array | None = None) -> None:
    """Checks an environment of one lane, yours or one of this package, by running it.

    Shapes and dtypes of spaces, resets and steps; that a state keeps its structure, so that loops and
    compiled programs take it; that the same key gives the same episode; that lanes under ``jax.vmap`` are
    those stepped one by one; that numbers are finite, observations within their bounds, ended episodes over;
    that the reward has a finite gradient by the action.

    Args:
      env: see ``anmjax.envs.protocol.Environment``.
      key: PRNG key of starts and actions; None: a fixed one.

    Raises:
      ContractError: with all faults that were found.
    """
    key = jax.random.key(0) if key is None else key
    faults = tuple(_of_shapes(env, key)) or tuple(_of_numbers(env, key))
    if faults:
        raise ContractError(type(env).__name__, faults)


def _of_shapes(env: Any, key: jax.Array) -> Iterator[str]:
    """Faults that are seen without running anything."""
    for name in ("action_space", "observation_space"):
        space = getattr(env, name, None)
        if space is None:
            yield f"there is no {name}"
            continue
        low, high = np.asarray(space.low), np.asarray(space.high)
        if low.ndim != 1 or low.shape != high.shape or space.low.dtype != space.high.dtype:
            found = f"{low.shape} {space.low.dtype} and {high.shape} {space.high.dtype}"
            yield f"the bounds of {name} are {found}, but must be vectors alike"
        elif not (low <= high).all():
            worst = int(np.flatnonzero(~(low <= high))[0])
            yield (
                f"{name}: the low bound {low[worst]} of component {worst} is not below the high {high[worst]}"
            )
    if getattr(env, "action_space", None) is None or getattr(env, "observation_space", None) is None:
        return
    try:
        begun = jax.eval_shape(env.reset, key)
    except Exception as error:
        yield f"reset cannot be traced: {_first_line(error)}"
        return
    action = jax.ShapeDtypeStruct(env.action_space.shape, env.action_space.dtype)
    try:
        after = jax.eval_shape(env.step, begun, action)
    except Exception as error:
        yield f"step cannot be traced with a state from reset: {_first_line(error)}"
        return
    yield from _of_structure(begun, after)
    yield from _of_fields(env, begun)


def _of_structure(begun: Any, after: Any) -> Iterator[str]:
    """What differs between the states of a reset and of a step."""
    first, second = (dict(jax.tree_util.tree_leaves_with_path(state)) for state in (begun, after))
    for path in [*first, *(path for path in second if path not in first)]:
        name = f"state{jax.tree_util.keystr(path)}"
        if path not in second:
            yield f"{name} is there after a reset and not after a step"
        elif path not in first:
            yield f"{name} is there after a step and not after a reset"
        elif _described(first[path]) != _described(second[path]):
            found = _described(first[path]), _described(second[path])
            yield f"{name} is {found[0]} after a reset and {found[1]} after a step"
    same_leaves = not set(first) ^ set(second)
    structures = [str(jax.tree.structure(state)) for state in (begun, after)]
    if same_leaves and structures[0] != structures[1]:
        yield "the static fields of the state differ between a reset and a step"


def _of_fields(env: Any, state: Any) -> Iterator[str]:
    """Shapes and dtypes of what a learner reads."""
    dtype = env.observation_space.dtype
    expected = {
        "obs": (env.observation_space.shape, dtype),
        "reward": ((), dtype),
        "terminated": ((), np.dtype(bool)),
        "truncated": ((), np.dtype(bool)),
        "costs": ((len(getattr(env, "cost_names", ())),), None),
    }
    for name, (shape, kind) in expected.items():
        found = getattr(state, name, None)
        if found is None:
            yield f"state.{name} is not there"
        elif found.shape != shape or (kind is not None and found.dtype != kind):
            wanted = f"{shape}" if kind is None else f"{shape} {kind}"
            yield f"state.{name} is {found.shape} {found.dtype}, but must be {wanted}"


def _of_numbers(env: Any, key: jax.Array) -> Iterator[str]:
    """Faults of some lanes that take drawn actions."""
    key_starts, key_actions = jax.random.split(key)
    keys = jax.random.split(key_starts, _NUM_LANES)
    draws = jax.random.split(key_actions, (_NUM_STEPS, _NUM_LANES))
    first, states = _run(env, keys, draws)
    again, _ = _run(env, keys[:2], draws[:, :2])
    if not _same(first.obs[:2], again.obs, 1e-3 * _eps(env)):
        yield "reset gives another observation for the same key in another batch"
    one, action = jax.tree.map(lambda x: x[0], first), env.action_space.sample(draws[0, 0])
    alone = jax.jit(env.step)(one, action)
    together = jax.tree.map(lambda x: x[0, 0], states.replace(key=None))
    for name in ("obs", "reward"):
        if not _same(getattr(alone, name), getattr(together, name), _eps(env)):
            yield f"step under jax.vmap gives another {name} than step of one lane"
    obs, reward = np.asarray(states.obs), np.asarray(states.reward)
    terminated = np.asarray(states.terminated)
    before = np.concatenate([np.asarray(first.terminated)[None], terminated[:-1]])
    if not np.isfinite(obs).all():
        yield f"component {int(np.argwhere(~np.isfinite(obs))[0][-1])} of an observation is not finite"
    if np.isnan(reward).any() or not np.isfinite(reward[~terminated]).all():
        yield "a reward is not finite where the episode goes on"
    low, high = np.asarray(env.observation_space.low), np.asarray(env.observation_space.high)
    outside = ((obs < low) | (obs > high)) & ~terminated[..., None]
    if outside.any():
        step, lane, component = np.argwhere(outside)[0]
        yield (
            f"component {component} of an observation is {obs[step, lane, component]}, but its bounds are "
            f"{low[component]} and {high[component]}"
        )
    if (before & ~terminated & (np.asarray(states.t) > 1)).any():
        yield "an episode that has terminated goes on"
    try:
        slope = np.asarray(jax.jit(jax.grad(lambda action: env.step(one, action).reward))(action))
    except Exception as error:
        yield f"the reward has no gradient by the action: {_first_line(error)}"
        return
    if not np.isfinite(slope).all():
        component = int(np.flatnonzero(~np.isfinite(slope))[0])
        yield f"the gradient of the reward by component {component} of the action is not finite"


def _run(env: Any, keys: jax.Array, draws: jax.Array) -> tuple[Any, Any]:
    """First states, and those after each of the steps, leading axes (step, lane)."""

    @jax.jit
    def run(keys: jax.Array, draws: jax.Array) -> tuple[Any, Any]:
        def advance(states: Any, draws: jax.Array) -> tuple[Any, Any]:
            after = jax.vmap(env.step)(states, jax.vmap(env.action_space.sample)(draws))
            return after, after

        first = jax.vmap(env.reset)(keys)
        return first, jax.lax.scan(advance, first, draws)[1]

    return run(keys, draws)


def _eps(env: Any) -> float:
    """What rounding may make of a difference: programs for other batches add up in another order."""
    return float(np.sqrt(np.finfo(env.observation_space.dtype).eps))


def _same(one: Any, other: Any, tolerance: float) -> bool:
    return bool(np.allclose(one, other, rtol=tolerance, atol=tolerance, equal_nan=True))


def _described(leaf: Any) -> str:
    weak = " (weak)" if getattr(leaf, "weak_type", False) else ""
    return f"{leaf.shape} {leaf.dtype}{weak}"


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"

"""Compiling the updates of a training while what they begin with is made.

Drawing the first starts and compiling an update each keep a core busy for seconds. So a blank training, of
zeros in the same shapes, makes no updates in a thread of its own: JAX keeps the program for the real one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from anmjax.agents.agent import Agent
from anmjax.agents.config import AgentConfig
from anmjax.agents.training import sharding
from anmjax.agents.training.checkpoint import is_key
from anmjax.envs.protocol import Environment


@contextlib.contextmanager
def compiling_updates(
    kind: type[Agent[Any]], env: Environment, config: AgentConfig, num_seeds: int, mesh: Mesh
) -> Iterator[None]:
    """Compiles ``sharding.run_chunk`` beside what is done in the block, and waits for it at its end.

    Not where several processes train, which have to run their programs in one order, nor an agent without a
    pool of starts: those compile it when it is called.

    Args:
      kind: the agent.
      env: a bare environment.
      config: the agent's options.
      num_seeds: learners side by side.
      mesh: devices to train on.
    """
    if jax.process_count() > 1 or not hasattr(kind, "first_pool"):
        yield
        return
    with ThreadPoolExecutor(1) as threads:
        # What fails there fails in the training as well, which begins next and tells of it; or it is for a
        # context of JAX's, such as ``jax.enable_x64``, that is of the calling thread alone.
        threads.submit(_no_updates, kind, env, config, num_seeds, mesh)
        yield


def _no_updates(kind: Any, env: Environment, config: AgentConfig, num_seeds: int, mesh: Mesh) -> None:
    pool = _zeros(jax.eval_shape(lambda: kind.first_pool(env, config)))
    agent = sharding.everywhere(kind.create(env, config, pool=pool), mesh)
    keys = sharding.everywhere(jax.random.split(jax.random.key(0), num_seeds), mesh)
    learners = _zeros(sharding.shapes(agent, keys, mesh))
    placed = sharding.put(learners, mesh, sharding.specs_of(agent))
    jax.block_until_ready(sharding.run_chunk(agent, placed, np.int32(0), mesh))


def _zeros(shapes: Any) -> Any:
    """Arrays of such shapes; one key in place of all."""

    def zeros(x: jax.ShapeDtypeStruct) -> jax.Array:
        return jnp.broadcast_to(jax.random.key(0), x.shape) if is_key(x) else jnp.zeros(x.shape, x.dtype)

    return jax.tree.map(zeros, shapes)

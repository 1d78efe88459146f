"""JaxMARL: the agents of a task as a multi-agent environment."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxmarl.environments import multi_agent_env, spaces

from anmjax.adapters.tasks import task_of
from anmjax.envs.records import State as CoreState
from anmjax.envs.spaces import Box
from anmjax.wrappers.multi_agent import MultiAgent


@struct.dataclass
class State(multi_agent_env.State):
    """State of a lane."""

    done: jax.Array  # () bool, the episode is over
    step: jax.Array  # () int32, steps since the last reset
    core: CoreState  # its key as numbers, for learners that select between states


class Env(multi_agent_env.MultiAgentEnv):
    """A task for learners of JaxMARL: see ``anmjax.MultiAgent`` for agents, actions and observations.

    All agents have the task's reward and end together. JaxMARL resets by itself and has one flag for an end:
    ``infos["truncated"]``, for each agent, says which ends are the time limit's, and ``infos["final_obs"]``
    is the task's observation from before the reset. ``state.core.obs`` is the task's, for a central critic.
    """

    def __init__(
        self,
        task: Any,
        *,
        by: str = "device",
        rescale_actions: bool = True,
        max_steps: int | None = None,
        **options: Any,
    ) -> None:
        """Builds the environment.

        Args:
          task: name of a registered task, or an environment of this package.
          by: "device" or "bus", what an agent has.
          rescale_actions: actions are from -1 to 1 and not in MW and MVAr.
          max_steps: steps after which an episode ends; None: no limit.
          **options: arguments of a named task's constructor, e.g. ``dtype``.
        """
        self.env = MultiAgent(
            task_of(task, options, rescale_actions=rescale_actions, max_steps=max_steps), by=by
        )
        super().__init__(num_agents=len(self.env.agents))
        self.agents = list(self.env.agents)
        self.action_spaces = _boxes(self.env.action_spaces)
        self.observation_spaces = _boxes(self.env.observation_spaces)

    @functools.partial(jax.jit, static_argnums=(0,))
    def reset(self, key: jax.Array) -> tuple[dict[str, jax.Array], State]:
        """A drawn start, that of ``env.reset(key)``."""
        typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
        core = self.env.reset(key if typed else jax.random.wrap_key_data(key))
        return self.env.observations(core), _kept(core)

    def step_env(self, key: jax.Array, state: State, actions: Mapping[str, jax.Array]) -> tuple[Any, ...]:
        """One step without a reset; what is random follows from the key of the reset."""
        core = replace(state.core, key=jax.random.wrap_key_data(state.core.key))
        after = self.env.step(core, actions)
        done = after.terminated | after.truncated
        everyone = jnp.ones(self.num_agents, bool)
        infos = {"truncated": everyone & after.truncated, "final_obs": after.obs}
        rewards = dict.fromkeys(self.agents, after.reward)
        dones = dict.fromkeys([*self.agents, "__all__"], done)
        return self.env.observations(after), _kept(after), rewards, dones, infos

    def get_obs(self, state: State) -> dict[str, jax.Array]:
        """What each agent sees of a state."""
        return self.env.observations(state.core)

    @property
    def name(self) -> str:
        """Name of the task's class."""
        return type(self.env.env).__name__

    @property
    def agent_classes(self) -> dict[str, list[str]]:
        """One class: there is no other kind of agent."""
        return {self.env.by: self.agents}


def _boxes(boxes: Mapping[str, Box]) -> dict[str, Any]:
    return {name: spaces.Box(box.low, box.high, box.shape, box.dtype) for name, box in boxes.items()}


def _kept(core: CoreState) -> State:
    return State(
        done=core.terminated | core.truncated,
        step=core.t,
        core=replace(core, key=jax.random.key_data(core.key)),
    )

"""Stable-Baselines3: lanes of a task as its VecEnv."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv as BaseVecEnv

from anmjax.adapters.gymnasium_spaces import gymnasium_box
from anmjax.adapters.lanes import Lanes
from anmjax.adapters.tasks import task_of


class VecEnv(BaseVecEnv):
    """Lanes of a task for the learners of Stable-Baselines3, stepped in one compiled call.

    The step that ends an episode returns the start of the next. ``infos[i]`` of its lane holds
    ``terminal_observation``, the last observation of the old one, and ``TimeLimit.truncated``, whether a
    learner bootstraps from it; of other lanes it is empty.
    """

    def __init__(
        self,
        task: Any,
        num_envs: int = 1,
        seed: int | None = None,
        *,
        max_episode_steps: int | None = None,
        rescale_actions: bool = True,
        **options: Any,
    ) -> None:
        """Builds the lanes.

        Args:
          task: name of a registered task, or an environment of this package.
          num_envs: number of lanes.
          seed: of the first lane, the others have those that follow; None: drawn.
          max_episode_steps: steps after which an episode is truncated; None: no limit, an episode ends with
            the network's collapse only.
          rescale_actions: actions are from -1 to 1, as these learners want them, and not in MW and MVAr.
          **options: arguments of a named task's constructor, e.g. ``dtype``.

        Raises:
          ValueError: a task or an argument is unknown or out of range.
        """
        self.env = task_of(task, options, rescale_actions=rescale_actions, max_steps=max_episode_steps)
        self._attributes: list[dict[str, Any]] = [{"render_mode": None} for _ in range(num_envs)]
        self._lanes = Lanes(self.env, num_envs, np.random.default_rng(seed))
        super().__init__(
            num_envs, gymnasium_box(self.env.observation_space), gymnasium_box(self.env.action_space)
        )
        if seed is not None:
            self.seed(seed)
        self._actions = np.zeros((num_envs, *self.action_space.shape), self.action_space.dtype)

    def reset(self) -> np.ndarray:
        """Begins an episode in every lane, by the seeds and options set since the last reset."""
        for lane, seed in enumerate(self._seeds):
            if seed is not None:
                self._lanes.seed(lane, seed)
        starts = [(options or {}).get("state") for options in self._options]
        given = [start is not None for start in starts]
        if any(given) and not all(given):
            raise ValueError(f"lane {given.index(False)} has no start in its options, but others have")
        self._lanes.begin(np.ones(self.num_envs, bool), np.array(starts) if all(given) else None)
        self._reset_seeds()
        self._reset_options()
        return self._lanes.seen().obs

    def step_async(self, actions: np.ndarray) -> None:
        """Takes the actions, (num_envs, n_action), that ``step_wait`` carries out."""
        self._actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Carries the actions out.

        Returns:
          Observations, rewards (float32), which episodes ended, infos.
        """
        self._lanes.step(self._actions)
        seen = self._lanes.seen()
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        obs = seen.obs
        if seen.ended.any():
            for lane in np.flatnonzero(seen.ended):
                infos[lane] = {
                    "terminal_observation": obs[lane],
                    "TimeLimit.truncated": bool(seen.truncated[lane] and not seen.terminated[lane]),
                }
            self._lanes.begin(seen.ended)
            obs = self._lanes.seen().obs
        return obs, seen.reward.astype(np.float32), seen.ended, infos

    def close(self) -> None:
        """There is nothing to close."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute set by ``set_attr``, or one of the environment, for each lane.

        Raises:
          AttributeError: there is none of this name.
        """
        own = [self._attributes[i] for i in self._get_indices(indices)]
        return [one[attr_name] if attr_name in one else getattr(self.env, attr_name) for one in own]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Sets an attribute for ``get_attr``; the environment itself is one for all lanes, and stays."""
        for i in self._get_indices(indices):
            self._attributes[i][attr_name] = value

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Calls a method of the environment, once for each lane."""
        lanes: Iterable[int] = self._get_indices(indices)
        return [getattr(self.env, method_name)(*args, **kwargs) for _ in lanes]

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> Sequence[bool]:
        """Whether a Gymnasium wrapper is around the lanes: none is."""
        return [False for _ in self._get_indices(indices)]

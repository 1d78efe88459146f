"""VectorEnv: many lanes of a task as a Gymnasium vector environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import jax.numpy as jnp
import numpy as np
from gymnasium.vector import AutoresetMode

from anmjax.adapters.gymnasium_spaces import gymnasium_box
from anmjax.adapters.lanes import Lanes, Seen
from anmjax.adapters.tasks import task_of


class VectorEnv(gymnasium.vector.VectorEnv):
    """Lanes of a task, stepped in one compiled call.

    What it returns is what ``gymnasium.vector.SyncVectorEnv`` of so many ``Env`` returns, in each of its
    modes; arrays are NumPy's and may be written to, or JAX's. ``metadata["autoreset_mode"]`` says the mode:

    - NEXT_STEP: the step after an end begins the next episode, whatever its action; reward 0.
    - SAME_STEP: the step that ends an episode returns the start of the next; the last observation of the
      old one, which a learner bootstraps from, is in ``info["final_obs"]``, its metrics in
      ``info["final_info"]``.
    - DISABLED: the caller resets with ``options={"reset_mask": ended}``.
    """

    def __init__(
        self,
        task: Any,
        num_envs: int = 1,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        max_episode_steps: int | None = None,
        rescale_actions: bool = False,
        arrays: str = "numpy",
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        """Builds the environments.

        Args:
          task: name of a registered task, or an environment of this package.
          num_envs: number of lanes.
          autoreset_mode: one of Gymnasium's three.
          max_episode_steps: steps after which an episode is truncated; None: no limit.
          rescale_actions: actions are from -1 to 1 and not in MW and MVAr.
          arrays: "numpy", or "jax" for JAX arrays, which stay on the device: rewards then have the task's
            dtype, and ``info["final_obs"]`` is one array, 0 in lanes that have not ended.
          render_mode: None, there are no others.
          **options: arguments of a named task's constructor, e.g. ``dtype``.

        Raises:
          ValueError: a task or an argument is unknown or out of range.
        """
        if render_mode is not None:
            raise ValueError(f"render_mode is {render_mode!r}, but must be None: there is nothing to show")
        if arrays not in ("numpy", "jax"):
            raise ValueError(f"arrays is {arrays!r}, but must be 'numpy' or 'jax'")
        self._on_device = arrays == "jax"
        self._mode = AutoresetMode(autoreset_mode)
        self.metadata = {"render_modes": [], "autoreset_mode": self._mode}
        self.env = task_of(task, options, rescale_actions=rescale_actions, max_steps=max_episode_steps)
        self.num_envs = num_envs
        self._lanes = Lanes(self.env, num_envs, self.np_random)
        self.single_action_space = gymnasium_box(self.env.action_space)
        self.single_observation_space = gymnasium_box(self.env.observation_space)
        self.action_space, self.observation_space = (
            gymnasium.vector.utils.batch_space(space, num_envs)
            for space in (self.single_action_space, self.single_observation_space)
        )
        self._ended = np.zeros(num_envs, bool)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begins episodes.

        Args:
          seed: of the first lane, the others have those that follow; or one for each.
          options: ``reset_mask``, (num_envs,) bool, which lanes: all if not given; ``state``, a state vector
            to begin at, (n_state,) or (num_envs, n_state).

        Returns:
          Observations of all lanes; the metrics of those that begin.

        Raises:
          EnvInitializationError: no power flow of a start has a solution.
          TypeError: ``reset_mask`` is no array of bools.
          ValueError: wrong number of seeds, or ``reset_mask`` has the wrong shape or no lane in it.
        """
        super().reset(seed=seed if isinstance(seed, int) else None)
        options = options or {}
        mask = _checked(options["reset_mask"], self.num_envs) if "reset_mask" in options else None
        which = np.ones(self.num_envs, bool) if mask is None else mask
        seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, int) else seed
        if seeds is not None and len(seeds) != self.num_envs:
            raise ValueError(f"there are {len(seeds)} seeds for {self.num_envs} environments")
        self._seed(seeds, which)
        self._lanes.begin(which, options.get("state"))
        self._ended = self._ended & ~which
        seen = self._seen()
        return seen.obs, _info(seen.metrics, which)

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Takes an action in every lane.

        Args:
          actions: (num_envs, n_action).

        Returns:
          Observations, rewards, which lanes collapsed, which were truncated, metrics.

        Raises:
          ValueError: resets are up to the caller, and a lane has ended; or the actions have a wrong shape.
        """
        everywhere = np.ones(self.num_envs, bool)
        if self._mode is AutoresetMode.DISABLED and self._ended.any():
            lane = int(np.flatnonzero(self._ended)[0])
            raise ValueError(f"lane {lane} has ended: reset it first, options={{'reset_mask': ..}}")
        self._lanes.step(actions)
        if self._mode is AutoresetMode.NEXT_STEP and self._ended.any():
            self._lanes.begin(self._ended)  # in place of the step
        seen = self._seen()
        ended = self._ended = np.asarray(seen.ended)
        if self._mode is not AutoresetMode.SAME_STEP or not ended.any():
            return *seen[:4], _info(seen.metrics, everywhere)
        self._lanes.begin(ended)
        start = self._seen()
        final = {
            "final_obs": _only(ended, seen.obs) if self._on_device else _each(ended, seen.obs),
            "final_info": _info(seen.metrics, ended),
        }
        flags = {f"_{name}": _flags(ended, seen.obs) for name in final}
        return start.obs, *seen[1:4], final | flags | _info(start.metrics, everywhere)

    def _seen(self) -> Seen:
        return self._lanes.seen(on_device=self._on_device)

    def _seed(self, seeds: Sequence[int | None] | None, which: np.ndarray) -> None:
        if seeds is None:
            return
        given = [seed for seed in seeds if seed is not None]
        if which.all() and len(given) == self.num_envs:
            self._lanes.seed_all(given)
            return
        for lane in np.flatnonzero(which).tolist():
            if (seed := seeds[lane]) is not None:
                self._lanes.seed(lane, seed)


def _checked(mask: Any, num_envs: int) -> np.ndarray:
    """A reset mask, as Gymnasium wants it."""
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
        raise TypeError(f"options['reset_mask'] is {mask!r}, but must be a NumPy array of bools")
    if mask.shape != (num_envs,) or not mask.any():
        raise ValueError(
            f"options['reset_mask'] has shape {mask.shape} and {mask.sum()} lanes in it, but must have "
            f"shape ({num_envs},) and at least one"
        )
    return mask


def _each(which: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Gymnasium's form of what some lanes have: objects, None in the others."""
    found = np.full(len(which), None, object)
    for lane in np.flatnonzero(which).tolist():
        found[lane] = values[lane]
    return found


def _only(which: np.ndarray, value: Any) -> Any:
    """An array of NumPy or JAX where lanes are chosen, and 0 elsewhere."""
    numpy: Any = np if isinstance(value, np.ndarray) else jnp
    beside = which.reshape(which.shape + (1,) * (value.ndim - 1))
    return numpy.where(beside, value, numpy.zeros_like(value))


def _flags(which: np.ndarray, beside: Any) -> Any:
    """The chosen lanes, as an array of the same library."""
    return which.copy() if isinstance(beside, np.ndarray) else jnp.array(which)


def _info(metrics: dict[str, Any], which: np.ndarray) -> dict[str, Any]:
    """Gymnasium's form: each array with another, of the lanes that it holds for."""
    info: dict[str, Any] = {}
    for name, value in metrics.items():
        info[name], info[f"_{name}"] = _only(which, value), _flags(which, value)
    return info

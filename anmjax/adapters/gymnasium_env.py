"""Env: one lane of a task as a Gymnasium environment, with gym-anm's attributes."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import jax
import numpy as np

from anmjax.adapters.errors import EnvInitializationError
from anmjax.adapters.gymnasium_rendering import RENDER_FPS, RENDER_MODES, Screen, check_mode
from anmjax.adapters.gymnasium_spaces import gymnasium_box
from anmjax.adapters.programs import program, reset, reset_to, step
from anmjax.adapters.seeding import episode_key, key_of
from anmjax.adapters.simulator import Simulator
from anmjax.adapters.tasks import task_of
from anmjax.envs.records import InitialState, State


class Env(gymnasium.Env):
    """A task as a Gymnasium environment; the state is kept here.

    - ``reset(seed=s)`` begins where ``env.reset(jax.random.key(s))`` does, and episodes without a seed follow
      from the last one. ``reset(options={"state": vector})`` begins at a given state vector (MW, MVAr, MWh).
    - ``info`` holds the metrics of the step, see ``anmjax.ANMEnv``.
    - Attributes are gym-anm's: ``state``, ``simulator``, ``e_loss``, ``penalty``, ``timestep``,
      ``terminated``, ``pfe_converged``; what else the task has (``gamma``, ``network``, ..) is passed on.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": list(RENDER_MODES), "render_fps": RENDER_FPS}

    def __init__(
        self, task: Any, *, rescale_actions: bool = False, render_mode: str | None = None, **options: Any
    ) -> None:
        """Builds the environment.

        Args:
          task: name of a registered task, or an environment of this package.
          rescale_actions: actions are from -1 to 1 and not in MW and MVAr.
          render_mode: "rgb_array": ``render`` draws the grid, which needs matplotlib; "human": a page on the
            loopback address follows every step, see ``address``; None: nothing is shown.
          **options: arguments of a named task's constructor, e.g. ``dtype``.

        Raises:
          ImportError: pictures are asked for, and matplotlib is not installed.
          ValueError: a task or an argument is unknown, or there is no grid to show.
        """
        self.render_mode = render_mode
        self.env = task_of(task, options, rescale_actions=rescale_actions, max_steps=None)
        check_mode(render_mode, self.env)
        name = task if isinstance(task, str) else type(task).__name__
        self._screen = None if render_mode is None else Screen(self.env, name, render_mode)
        self.action_space = gymnasium_box(self.env.action_space)
        self._key: jax.Array | None = None  # of the last seed
        self._episode = 0  # since then
        self._current: State | None = None
        self._reset, self._step = program(self.env, reset), program(self.env, step)
        self._reset_to = program(self.env, reset_to)
        self.observation_space = gymnasium_box(self.env.observation_space)
        self._bounded = type(self).observation_bounds is not Env.observation_bounds
        if self._bounded:
            self.observation_space = self.observation_bounds()

    def observation_bounds(self) -> gymnasium.spaces.Box:
        """Bounds of the observation, for a subclass to override: observations are then cut to them."""
        return self.observation_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begins an episode.

        Args:
          seed: of this episode and those that follow.
          options: ``state``, a state vector or an ``InitialState`` to begin at.

        Returns:
          The observation; the metrics of the start.

        Raises:
          EnvInitializationError: the start has the wrong shape, or no power flow of it has a solution.
        """
        super().reset(seed=seed)
        key = self._next_key(seed)
        start = (options or {}).get("state")
        if start is None:
            state = self._reset(key)
        else:
            try:
                vector = start if isinstance(start, InitialState) else np.asarray(start, float)
                state = self._reset_to(key, vector)
            except ValueError as error:
                raise EnvInitializationError(f"options['state']: {error}") from error
        if bool(state.terminated):
            raise EnvInitializationError(
                "the start is not finite, or its power flow has no solution" if start is not None
                else f"100 starts of {type(self.env).__name__} were drawn and none has a power flow"
            )  # fmt: skip
        return self._shown(state)[0], self._info

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Takes an action, see ``anmjax.ANMEnv.step``; any is accepted and moved to what is possible.

        Args:
          action: (n_action,) as ``action_space`` has it.

        Returns:
          Observation, reward, whether the network has collapsed, False, metrics.

        Raises:
          RuntimeError: there was no reset yet.
          ValueError: the action has the wrong shape.
        """
        action = np.asarray(action)
        obs, reward, terminated, truncated = self._shown(self._step(self._running, action), action)
        return obs, reward, terminated, truncated, self._info

    def render(self) -> np.ndarray | None:
        """What ``render_mode`` says.

        Returns:
          (480, 640, 3) uint8, the grid in its present state, in mode "rgb_array". None else: the page of mode
          "human" follows by itself.

        Raises:
          RuntimeError: there was no reset yet.
        """
        if self._screen is None:
            gymnasium.logger.warn("there is nothing to render: make the environment with a render_mode")
            return None
        return self._screen.picture(self._running)

    @property
    def address(self) -> str | None:
        """Where the page of mode "human" is, from the first reset until the environment is closed."""
        page = None if self._screen is None else self._screen.page
        return None if page is None else page.address

    def close(self) -> None:
        """Ends the page of mode "human"; the port is free then."""
        if self._screen is not None:
            self._screen.close()

    def __getattr__(self, name: str) -> Any:
        # Reached only for what is not here. Copies ask before ``env`` is set.
        if name.startswith("_") or name == "env":
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.env, name)

    @property
    def state(self) -> np.ndarray:
        """The state vector, (n_state,) in MW, MVAr, MWh."""
        now = self._running
        return np.array(self.env.state_vector(now.grid, now.aux))

    @property
    def simulator(self) -> Simulator:
        """The grid, by quantity, unit and id, under gym-anm's names."""
        grid = None if self._current is None else self._current.grid
        return Simulator(self.env.network, float(self.env.delta_t), float(self.env.lamb), grid)

    @property
    def timestep(self) -> int:
        """Steps since the reset."""
        return int(self._running.t)

    @property
    def terminated(self) -> bool:
        """Whether the network has collapsed."""
        return bool(self._running.terminated)

    @property
    def pfe_converged(self) -> bool:
        """Whether the last power flow had a solution."""
        return bool(self._running.grid.converged)

    @property
    def e_loss(self) -> float:
        """p.u.h, energy loss of the last step, as clipped in the reward."""
        return float(self._running.metrics["e_loss"])

    @property
    def penalty(self) -> float:
        """p.u.h, penalty of the last step, as clipped in the reward."""
        return float(self._running.metrics["penalty"])

    @property
    def state_N(self) -> int:
        """Number of state variables."""
        names = self.simulator
        return 2 * names.N_device + names.N_des + names.N_non_slack_gen + self.env.K

    @property
    def observation_N(self) -> int:
        """Number of observed variables."""
        return self.observation_space.shape[0]

    @property
    def _running(self) -> State:
        if self._current is None:
            raise RuntimeError("there is no state yet: call reset first")
        return self._current

    def _next_key(self, seed: int | None) -> jax.Array:
        if seed is None and self._key is not None:
            self._episode += 1
            return episode_key(self._key, self._episode)
        drawn = int(self.np_random.integers(2**32)) if seed is None else seed
        self._key, self._episode = key_of(drawn), 0
        return self._key

    def _shown(self, state: State, action: np.ndarray | None = None) -> tuple[np.ndarray, float, bool, bool]:
        """Keeps a state, and returns what a caller sees of it; without the action to it, it is a start."""
        self._current = state
        if self._screen is not None:
            self._screen.follow(state, action)
        parts = state.obs, state.reward, state.terminated, state.truncated, state.metrics
        obs, reward, terminated, truncated, metrics = jax.device_get(parts)
        obs = np.array(obs)  # what JAX hands out cannot be written to
        if self._bounded and not terminated:
            obs = np.clip(obs, self.observation_space.low, self.observation_space.high)
        self._info = {name: value.item() if value.ndim == 0 else value for name, value in metrics.items()}
        return obs, float(reward), bool(terminated), bool(truncated)

"""ANM6-v0: gym-anm's six buses on days that are never the same."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from anmjax.envs.records import InitialState, State
from anmjax.tasks.daily import DailyTask
from anmjax.tasks.processes.noise import BOUND, Noise
from anmjax.tasks.processes.process import rank

_NOISE = Noise((2.0,))
_DEVICES = 5  # three loads, PV, wind
_SPREAD = 0.1  # of a load
_PV_DARK, _PV_CLOUDINESS = 0.2, 0.5
_WIND_SPREAD = 0.25


class ANM6(DailyTask):
    """ANM6-v0: gym-anm's 6-bus, 33 kV feeder on the day of ANM6Easy-v0 with drawn weather and demand.

    - Grid, table of the day and limits are those of ANM6Easy-v0: three loads, PV, wind, a storage unit.
    - Noise: for each load, PV and wind an autoregression z of variance 1 with a memory of 2 h, drawn anew in
      every step. Loads draw 1 + 0.1 z times what the table says, PV could give 0.2 + 0.8 u^0.5 times as much
      and wind 1 + 0.25 z times, u in (0, 1) the rank of z; limits of the devices cut what is beyond them.
    - State and observation (23): P and Q of 7 devices (MW, MVAr), charge (MWh), potential of PV and wind
      (MW), z of 3 loads, PV and wind, time of day 0..95.
    - Action (6): P of PV and wind, Q of them, P and Q of the storage unit; MW, MVAr.
    - Step: 15 minutes. gamma 0.995, lambda 100, costs clipped to (1, 100) p.u.h on 100 MVA.
    - Starts: a uniform time of day and charge, z of its stationary distribution, no reactive power.
    - Doing nothing violates a branch rating in 87 % of the steps.
    - A state's key says all that is to come, so that planners may be told of it (``mpc-perfect``).

    Reference: Henry & Ernst, "Gym-ANM: Reinforcement learning environments for active network management
    tasks in electricity distribution systems", Energy and AI 5 (2021), sec. 4, for grid and day.
    """

    def __init__(self, **options: Any) -> None:
        """Builds the task; ``options`` override arguments of ``ANMEnv``."""
        defaults = {"gamma": 0.995, "lamb": 100, "costs_clipping": (1, 100), "num_iters": 8}
        noise = {"K": _DEVICES + 1, "aux_bounds": [[-BOUND, BOUND]] * _DEVICES + [[0, 95]]}
        super().__init__("anm6", "anm6_easy", **{**defaults, **noise, **options})

    def factors(self, z: jax.Array) -> jax.Array:
        """By what noise multiplies the columns of the table, (5,); ``z``: (5,)."""
        z = z.clip(-BOUND, BOUND)
        loads, pv, wind = jnp.split(z, [3, 4])
        cloud = _PV_DARK + (1 - _PV_DARK) * rank(pv) ** _PV_CLOUDINESS
        return jnp.concatenate([1 + _SPREAD * loads, cloud, jnp.maximum(0, 1 + _WIND_SPREAD * wind)])

    def init_state(self, key: jax.Array) -> InitialState:
        """Draws a time of day, the charge and the noise."""
        key_time, key_soc, key_noise = jax.random.split(key, 3)
        time = jax.random.randint(key_time, (), 0, self.steps_per_day)
        q, soc = self.init_q_and_soc(key_soc)
        return self.start_at(time, soc, q, _NOISE.init(key_noise, _DEVICES, self.network.dtype)[0])

    def start_at(
        self, time: jax.Array, soc: jax.Array, q: jax.Array | None = None, z: jax.Array | None = None
    ) -> InitialState:
        """See ``DailyTask``; ``z``: (5,) the noise, None: 0."""
        z = jnp.zeros(_DEVICES, self.network.dtype) if z is None else z
        aux = jnp.append(z, jnp.asarray(time, z.dtype))
        return self.started(self.rows(time) * self.factors(z), aux, soc, q)

    def next_vars(self, key: jax.Array, state: jax.Array) -> jax.Array:
        """The next row of the table, times the factors of the noise that is drawn."""
        return self._after(key, state[-1 - _DEVICES :])

    def coming_profiles(self, state: State, num_steps: int) -> tuple[jax.Array, jax.Array]:
        """What the coming steps will bring, noise included, see ``DailyTask.coming_profiles``."""

        def step(aux: jax.Array, t: jax.Array) -> tuple[jax.Array, jax.Array]:
            variables = self._after(jax.random.fold_in(state.key, t), aux)
            return variables[_DEVICES:], variables[:_DEVICES]

        times = state.t + jnp.arange(num_steps, dtype=jnp.int32)
        return self.profiles_of(jax.lax.scan(step, state.aux, times)[1])

    def _after(self, key: jax.Array, aux: jax.Array) -> jax.Array:
        """MW of loads and generators in the next step, its noise and its time, given the variables now."""
        z = _NOISE.step(key, aux[None, :-1], self.delta_t)[0]
        time = (jnp.round(aux[-1]).astype(jnp.int32) + 1) % self.steps_per_day
        return jnp.concatenate([self.rows(time) * self.factors(z), z, time.astype(aux.dtype)[None]])

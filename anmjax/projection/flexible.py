"""What flexible loads and chargers are given of what they ask for, and what stays owed to them.

With what is owed E, the demand d that arrives over a step dt, and the P that is asked for:

    due      = E + dt d
    P        = min(P_asked, P_max, due / dt)      0 at a charger without a car
    left     = due - dt P
    E        <- min(left, E_max)                  0 where the car leaves at the end of the step
    unserved = left - E

so that no energy is served that nobody asked for, and all that was asked for is served, owed or unserved.
Arrays are ``[component, *batch]``, see ``anmjax.lanes.trailing``.

Reference: for cars with an energy and a departure, Lee et al., "ACN-Sim: An Open-Source Simulator for
Data-Driven Electric Vehicle Charging Research", IEEE Trans. Smart Grid 12(6) (2021).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.grid.network import Network
from anmjax.lanes.gather import take


class Waiting(NamedTuple):
    """What is known of flexible demand before a step, and what is asked to be given."""

    owed: jax.Array  # (n_flexible, *batch) p.u.h
    stay: jax.Array  # (n_charger, *batch) h that the car stays from the step's beginning, 0: none is there
    asked: jax.Array  # (n_flexible, *batch) p.u., P as an injection, <= 0


class Served(NamedTuple):
    """What comes of it."""

    p: jax.Array  # (n_flexible, *batch) p.u., injection, <= 0
    owed: jax.Array  # (n_flexible, *batch) p.u.h, after the step
    unserved: jax.Array  # (n_flexible, *batch) p.u.h, lost in the step


def serve(net: Network, waiting: Waiting, arriving: jax.Array, *, delta_t: float) -> Served:
    """Serves flexible demand for a step.

    Args:
      net: network.
      waiting: what is owed, how long cars stay, and what is asked to be given.
      arriving: (n_flexible, *batch) p.u., demand that arrives over the step, >= 0.
      delta_t: h, length of the step.
    """
    known: Any = net.flexibility
    flexible = np.array(net.flexible, int)
    batch = jnp.broadcast_shapes(*(x.shape[1:] for x in (*waiting, arriving)))
    most_drawn = -take(jnp.asarray(net.p_min), flexible)
    # A load is always there, a car by the hours that it stays.
    of_chargers = np.isin(flexible, np.array(net.chargers, int))
    index = np.where(of_chargers, np.cumsum(of_chargers), 0)
    always = jnp.full((1, *batch), jnp.inf, waiting.owed.dtype)
    stay = take(jnp.concatenate([always, jnp.broadcast_to(waiting.stay, (len(waiting.stay), *batch))]), index)
    due = waiting.owed + delta_t * arriving
    drawn = jnp.clip(-waiting.asked, 0, jnp.where(stay > 0, jnp.minimum(most_drawn, due / delta_t), 0))
    left = due - delta_t * drawn
    # The margin is for hours counted down in steps.
    stays = stay > delta_t * (1 + 1e-3)
    owed = jnp.where(stays, jnp.minimum(left, jnp.asarray(known.most_owed)), 0)
    return Served(-drawn, owed, left - owed)


def served_at_once(
    net: Network, owed: jax.Array, arriving: jax.Array, stay: jax.Array, *, delta_t: float
) -> jax.Array:
    """What flexible demand draws in the coming steps where nobody has it wait, for one lane.

    Args:
      net: network.
      owed: (n_flexible,) p.u.h, now.
      arriving: (n_flexible, N) p.u., demand that arrives in each step, >= 0.
      stay: (n_charger, N) h that cars stay from the beginning of each step.
      delta_t: h, length of a step.

    Returns:
      (n_flexible, N) p.u., injections, <= 0.
    """
    everything = jnp.full_like(owed, -jnp.inf)

    def step(owed: jax.Array, coming: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        arriving, stay = coming
        served = serve(net, Waiting(owed, stay, everything), arriving, delta_t=delta_t)
        return served.owed, served.p

    return jax.lax.scan(step, owed, (arriving.T, stay.T))[1].T

"""IEEE33Switch-v0: the Baran-Wu feeder with its ties, to be reconfigured."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.envs.records import State
from anmjax.grid.cases import load_case
from anmjax.grid.network import Network
from anmjax.grid.settings import Switch
from anmjax.tasks.ieee33 import IEEE33

# From, to, r and x in Ohm, of switches 33 to 37 of the paper.
_TIES = ((20, 7, 2.0, 2.0), (8, 14, 2.0, 2.0), (11, 21, 2.0, 2.0), (17, 32, 0.5, 0.5), (24, 28, 0.5, 0.5))
_TIE_MVA = 2.0
# Numbers of the paper, from 1, of lines that have a switch: one or more on every loop that a tie closes.
_SECTIONS = (7, 9, 14, 28, 32)
_LOOP_PU = 0.05  # p.u. of violated limits that a closed loop counts as


class IEEE33Switch(IEEE33):
    """IEEE33Switch-v0: the year of IEEE33-v0 on 33 buses with five ties and ten switches to set.

    - Grid: that of IEEE33-v0, and the paper's five tie lines (20-7, 8-14, 11-21 of 2 + j2 Ohm, 17-32 and
      24-28 of 0.5 + j0.5 Ohm, buses from 0), of 2 MVA, open in the case. Ties have a switch, and so have
      lines 7, 9, 14, 28 and 32 of the paper's table: among what they can do is its best configuration, lines
      7, 9, 14, 32 and tie 37 open, with 139.6 kW of losses in the place of 202.7.
    - The feeder is to be run as a tree, as its protection asks for: each closed loop counts as 0.05 p.u. of
      violated limits in the reward; ``metrics["loops"]`` counts them. A bus without supply is a collapse.
    - Observation (90): as of IEEE33-v0.
    - Action (24): P and Q as of IEEE33-v0, then the ten switches, closed from 1/2 on; the case's position
      is the middle of a switch's bounds.
    - Episode, discount, weights, what is held out: as of IEEE33-v0.
    - Randomness: the day and the charge.

    Doing nothing, ties open, violates a voltage limit in 18.4 % of the year's steps, a branch rating in
    20.1 %, and one or the other in 25.9 %.

    Reference: Baran & Wu, "Network reconfiguration in distribution systems for loss reduction and load
    balancing", IEEE Trans. Power Delivery 4 (1989), table I and sec. V.
    """

    @classmethod
    def grid(cls) -> Network:
        """The case with ties, open, and switches."""
        return with_ties(load_case(cls.case))

    def reset_to(self, key: jax.Array, start: Any) -> State:
        """See ``ANMEnv``."""
        return self._with_loops(super().reset_to(key, start), first=True)

    def step(self, state: State, action: jax.Array) -> State:
        """See ``ANMEnv``; less reward for closed loops."""
        return self._with_loops(super().step(state, action))

    def _with_loops(self, state: State, first: bool = False) -> State:
        net: Any = self.network
        closed = jnp.asarray(net.in_service).sum() - net.in_service[np.array(net.settings.element)].sum()
        settings: Any = state.grid.settings
        # Of a grid in one piece: every branch beyond a tree's closes a loop.
        loops = closed + settings.sum() - (net.n_bus - 1)
        # Of a tree there is none to open: without this the derivative would ask for islands.
        loops = jnp.where(state.terminated | (loops < 0.5), 0, loops)
        lost = 0 if first else self.delta_t * self.lamb * _LOOP_PU * loops
        return dataclasses.replace(
            state, reward=state.reward - lost, metrics={**state.metrics, "loops": loops}
        )


def with_ties(case: dict[str, Any]) -> Network:
    """The network of a case of the feeder with its five ties, open, and ten switches.

    Args:
      case: a gym-anm dict whose buses have the ids 0 to 32, branches in the paper's order.
    """
    kv = case["bus"][1][2]
    ohm = kv**2 / case["baseMVA"]
    ties = [[f, t, r / ohm, x / ohm, 0, _TIE_MVA, 1, 0] for f, t, r, x in _TIES]
    lines = [list(row) for row in case["branch"]]
    whole: Any = Network.from_dict({**case, "branch": [*lines, *ties]})
    first = len(lines)
    in_service = np.ones(whole.n_branch)
    in_service[first:] = 0
    opened: Network = whole.replace(in_service=in_service)
    sections = (Switch(number - 1, name=f"line_{number}") for number in _SECTIONS)
    on_ties = (Switch(first + k, name=f"tie_{33 + k}") for k in range(len(_TIES)))
    return opened.with_devices(*sections, *on_ties)

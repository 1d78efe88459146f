"""anmjax on the steps that exact gym-anm took, and how far apart the two are."""

from __future__ import annotations

import functools
from dataclasses import asdict
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import anmjax
from tests.oracle.transitions import OBSERVATION, Batch, transitions


@functools.cache
def reference(structure: int, num_networks: int) -> Batch:
    """Steps of exact gym-anm on ``num_networks`` random networks of one structure, run once a session."""
    return transitions(structure, range(num_networks))


class ScriptedEnv(anmjax.ANMEnv):
    """A task whose auxiliary variables are the next loads and potentials (MW)."""

    def next_vars(self, key: jax.Array, state: jax.Array) -> jax.Array:
        """The scripted variables, twice: to act on, and to keep."""
        script = state[state.shape[0] - self.K :]
        return jnp.concatenate([script, script])


def stacked_networks(batch: Batch, dtype: Any) -> anmjax.Network:
    """The network of every step, leaves with a leading axis (n, ...)."""
    networks = [anmjax.Network.from_dict(d) for d in batch.networks]
    return jax.tree.map(lambda *leaves: np.stack(leaves)[batch.network].astype(dtype), *networks)


def run_transition(batch: Batch, dtype: Any) -> anmjax.GridState:
    """``anmjax.transition`` on every step, vmapped over steps and networks."""
    net = stacked_networks(batch, dtype)
    base = np.asarray(net.base_mva)[:, None]
    powers = batch.soc, batch.p_load, batch.p_potential, batch.p_set, batch.q_set
    inputs = [np.asarray(x / base, dtype) for x in powers]
    step = functools.partial(anmjax.transition, delta_t=batch.settings.delta_t)
    return jax.device_get(jax.jit(jax.vmap(step))(net, *inputs))


def run_env(batch: Batch, dtype: Any) -> tuple[anmjax.State, np.ndarray]:
    """``ANMEnv.step`` on every step, vmapped over the environments; and the state vectors, without script."""
    script = np.concatenate([batch.p_load, batch.p_potential], 1).astype(dtype)
    num_vars = script.shape[1]
    env = ScriptedEnv(batch.networks[0], OBSERVATION, num_vars, **asdict(batch.settings), dtype=dtype)
    net = stacked_networks(batch, dtype)
    soc = np.asarray(batch.soc / np.asarray(net.base_mva)[:, None], dtype)

    def step(env: ScriptedEnv, soc: Any, script: Any, action: Any) -> tuple[anmjax.State, Any]:
        n = env.network
        zero, no = jnp.zeros((), dtype), jnp.array(False)
        grid = anmjax.GridState(
            p=jnp.zeros(n.n_device, dtype),
            q=jnp.zeros(n.n_device, dtype),
            soc=soc,
            p_potential=jnp.zeros(len(n.generators), dtype),
            v=jnp.ones(n.n_bus, np.result_type(dtype, np.complex64)),
            mismatch=zero,
            converged=~no,
        )
        key = jax.random.key(0)
        before = anmjax.State(
            obs=zero, reward=zero, terminated=no, truncated=no, metrics={}, grid=grid, aux=script,
            t=jnp.int32(0), key=key,
        )  # fmt: skip
        after = env.step(before, action)
        vector = env.state_vector(after.grid, after.aux)
        return after.replace(key=None), vector[: vector.shape[0] - num_vars]

    run = jax.jit(jax.vmap(step))
    return jax.device_get(run(env.replace(network=net), soc, script, batch.action.astype(dtype)))


def relative(ours: Any, theirs: Any, scale: float | np.ndarray, where: np.ndarray) -> np.ndarray:
    """|ours - theirs| / max(|theirs|, scale), the largest of each row, (n,); 0 where ``where`` is False."""
    error = np.zeros(len(where))
    for i in np.flatnonzero(where):
        a, b = np.atleast_1d(np.asarray(ours)[i]), np.atleast_1d(np.asarray(theirs)[i])
        differ = a != b  # leaves out equal infinities: the unclipped costs of a collapse
        limit = np.maximum(np.abs(b), scale[i] if isinstance(scale, np.ndarray) else scale)
        error[i] = np.max(np.abs(a[differ] - b[differ]) / limit[differ], initial=0)
    return error


def transition_errors(batch: Batch, grid: anmjax.GridState, scale: float) -> dict[str, np.ndarray]:
    """Errors of ``anmjax.transition`` by quantity, each (n,), relative to max(|value|, ``scale`` p.u.).

    Devices, charge and potentials count on every step, what the power flow gives where both converged.
    """
    theirs, always = batch.expected.grid, np.ones(len(batch.labels), bool)
    both = theirs.converged & grid.converged
    slack = np.array(anmjax.Network.from_dict(batch.networks[0]).device_kind) == 0
    return {
        "p": relative(grid.p[:, ~slack], theirs.p[:, ~slack], scale, always),
        "q": relative(grid.q[:, ~slack], theirs.q[:, ~slack], scale, always),
        "slack p": relative(grid.p[:, slack], theirs.p[:, slack], scale, both),
        "slack q": relative(grid.q[:, slack], theirs.q[:, slack], scale, both),
        "soc": relative(grid.soc, theirs.soc, scale, always),
        "p_potential": relative(grid.p_potential, theirs.p_potential, scale, always),
        "v": relative(grid.v, theirs.v, scale, both),
    }


def env_errors(
    batch: Batch, state: anmjax.State, vector: np.ndarray, scale: float, obs_scale: float
) -> dict[str, np.ndarray]:
    """Errors of ``ANMEnv.step`` by quantity, each (n,).

    They are relative to max(|value|, ``scale`` p.u. in its unit), ``obs_scale`` for the observation;
    ``penalty`` and ``reward`` are lambda delta_t times a sum of powers and voltages, and so is their scale.
    """
    theirs = batch.expected
    same = theirs.terminated == state.terminated
    both = same & theirs.grid.converged
    net = stacked_networks(batch, np.float64)
    base, weight = np.asarray(net.base_mva)[:, None], batch.settings.lamb * batch.settings.delta_t
    metrics, grid = state.metrics, theirs.grid
    obs = _without_stray_signs(state.obs, theirs.obs, net.n_branch)
    return {
        "state": relative(vector, theirs.state, scale * np.broadcast_to(base, vector.shape), same),
        "obs": relative(*obs, obs_scale * _observation_units(net), same),
        "e_loss": relative(metrics["e_loss"], theirs.e_loss, scale, same),
        "penalty": relative(metrics["penalty"], theirs.penalty, scale * weight, same),
        "reward": relative(state.reward, theirs.reward, scale * weight, same),
        "voltage_violation": relative(metrics["voltage_violation"], grid.voltage_violation, scale, both),
        "branch_violation": relative(metrics["branch_violation"], grid.branch_violation, scale, both),
        "curtailment": relative(metrics["curtailment"], grid.curtailment, scale, both),
    }


def _without_stray_signs(
    ours: np.ndarray, theirs: np.ndarray, n_branch: int
) -> tuple[np.ndarray, np.ndarray]:
    """Both observations, without branch_s where its sign (-1, 0 or 1), that of branch_p, is rounding."""
    p, s = slice(-3 * n_branch, -2 * n_branch), slice(-n_branch, None)
    stray = np.abs(theirs[:, p]) < 1e-5
    ours, theirs = ours.copy(), theirs.copy()
    for obs in (ours, theirs):
        obs[:, s] = np.where(stray, 0, obs[:, s])
    return ours, theirs


def _observation_units(net: anmjax.Network) -> np.ndarray:
    """What 1 p.u. is in each element of ``OBSERVATION``, (n, n_obs)."""
    base, base_kv = np.asarray(net.base_mva)[:, None], np.asarray(net.base_kv)
    sizes = {"dev": net.n_device, "bus": net.n_bus, "branch": net.n_branch}
    sizes |= {"des": len(net.storage), "gen": len(net.generators)}
    columns = []
    for quantity, _, unit in OBSERVATION:
        size = sizes[quantity.split("_")[0]]
        value = {"pu": np.ones_like(base), "kV": base_kv}.get(unit, base)
        columns.append(np.broadcast_to(value, (len(base), size)))
    return np.concatenate(columns, 1)

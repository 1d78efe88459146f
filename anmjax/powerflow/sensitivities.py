"""First derivatives of a power flow that engineers ask for by name.

Both go through the implicit derivative of the solve: one factorisation of the Jacobian at the solution,
then one substitution for every column asked for.

Reference: Peschon, Piercy, Tinney & Tveit, "Sensitivity in Power Systems", IEEE Trans. PAS-87 (1968).
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from flax import struct

from anmjax.grid.network import Network
from anmjax.powerflow.power_flow import DEFAULT_NUM_ITERS, power_flow
from anmjax.powerflow.quantities import branch_losses

# p.u.; a derivative is as good as the voltages that it is taken at.
_TOL = 1e-8


@struct.dataclass
class Sensitivities:
    """Derivatives of the voltages; entry [i, k] is that of bus i by the injection at bus k."""

    vm_p: jax.Array  # (n_bus, n_bus) p.u./p.u., d|V_i| / dP_k
    vm_q: jax.Array  # (n_bus, n_bus) p.u./p.u., d|V_i| / dQ_k
    va_p: jax.Array  # (n_bus, n_bus) rad/p.u., dtheta_i / dP_k
    va_q: jax.Array  # (n_bus, n_bus) rad/p.u., dtheta_i / dQ_k


@struct.dataclass
class LossFactors:
    """Derivatives of the total active loss of the branches."""

    p: jax.Array  # (n_bus,) p.u./p.u., by the active injection at each bus
    q: jax.Array  # (n_bus,) p.u./p.u., by the reactive injection at each bus


@functools.partial(jax.jit, static_argnames=("num_iters", "tol"))
def sensitivities(
    net: Network, p: jax.Array, q: jax.Array, *, num_iters: int = DEFAULT_NUM_ITERS, tol: float = _TOL
) -> Sensitivities:
    """Derivatives of voltage magnitudes and angles by the injections.

    Columns of slacks, and reactive ones of PV buses, are zero: their injections are not inputs. All are
    zero where the power flow has no solution.

    Args:
      net: network.
      p: (n_bus,) p.u., active injections.
      q: (n_bus,) p.u., reactive injections.
      num_iters: Newton updates at most.
      tol: p.u., largest power-balance error of the solution.

    Returns:
      The four blocks of dv/d(p, q), dense.
    """

    def polar(p: jax.Array, q: jax.Array) -> tuple[jax.Array, jax.Array]:
        v = power_flow(net, p, q, num_iters=num_iters, tol=tol).v
        return jnp.abs(v), jnp.angle(v)

    p, q = (jnp.asarray(x, net.dtype) for x in (p, q))
    (vm_p, vm_q), (va_p, va_q) = jax.jacfwd(polar, (0, 1))(p, q)
    return Sensitivities(vm_p, vm_q, va_p, va_q)


@functools.partial(jax.jit, static_argnames=("num_iters", "tol"))
def loss_factors(
    net: Network, p: jax.Array, q: jax.Array, *, num_iters: int = DEFAULT_NUM_ITERS, tol: float = _TOL
) -> LossFactors:
    """Derivatives of the total active loss by the injections, the slacks taking up the difference.

    A factor of -0.05 says that one more unit injected there saves 0.05 units of loss: the slacks give 1.05
    less. Zero where the power flow has no solution.

    Args:
      net: network.
      p: (n_bus,) p.u., active injections.
      q: (n_bus,) p.u., reactive injections.
      num_iters: Newton updates at most.
      tol: p.u., largest power-balance error of the solution.
    """

    def loss(p: jax.Array, q: jax.Array) -> jax.Array:
        return branch_losses(net, power_flow(net, p, q, num_iters=num_iters, tol=tol).v).real.sum()

    p, q = (jnp.asarray(x, net.dtype) for x in (p, q))
    return LossFactors(*jax.grad(loss, (0, 1))(p, q))

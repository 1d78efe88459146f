"""Sine and cosine together, in arithmetic that vectorises.

XLA's CPU backend calls a scalar library routine for each; with one angle per bus and iteration that
call would take most of a power flow. The reduction to [-pi/4, pi/4] and the polynomials below are
straight-line code.

Reference: Cody & Waite, *Software Manual for the Elementary Functions* (1980), ch. 8; coefficients of
S. L. Moshier, *Cephes Mathematical Library* (sin.c, sinf.c).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

_COEFFICIENTS = {
    np.dtype(np.float32): (
        (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1),
        (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2),
        (1.5703125, 4.837512969970703125e-4, 7.549789948768648e-8),
    ),
    np.dtype(np.float64): (
        (
            1.58962301576546568060e-10,
            -2.50507477628578072866e-8,
            2.75573136213857245213e-6,
            -1.98412698295895385996e-4,
            8.33333333332211858878e-3,
            -1.66666666666666307295e-1,
        ),
        (
            -1.13585365213876817300e-11,
            2.08757008419747316778e-9,
            -2.75573141792967388112e-7,
            2.48015872888517045348e-5,
            -1.38888888888730564116e-3,
            4.16666666666665929218e-2,
        ),
        (1.5707962512969970703125, 7.5497894158615963533521e-8, 5.390302529957764765421e-15),
    ),
}


@jax.custom_jvp
def sincos(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Sine and cosine of ``x`` in radians, to about one unit in the last place for |x| < 1e4.

    Args:
      x: float32 or float64 array of any shape.

    Returns:
      (sin x, cos x).
    """
    sine_terms, cosine_terms, pi_half = _COEFFICIENTS[np.dtype(x.dtype)]
    quarter = jnp.round(x * (2 / np.pi))
    r = x
    for part in pi_half:
        r = r - quarter * part
    square = r * r
    sine = r + r * square * _horner(square, sine_terms)
    cosine = 1 - 0.5 * square + square * square * _horner(square, cosine_terms)
    # quarter mod 4, in floats: 0, 1, 2 or 3 quarter turns.
    turn = quarter - 4 * jnp.floor(0.25 * quarter)
    swap = (turn == 1) | (turn == 3)
    sine, cosine = jnp.where(swap, cosine, sine), jnp.where(swap, sine, cosine)
    return (
        jnp.where(turn >= 2, -sine, sine),
        jnp.where((turn == 1) | (turn == 2), -cosine, cosine),
    )


@sincos.defjvp
def _sincos_jvp(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
    sine, cosine = sincos(*primals)
    (dx,) = tangents
    return (sine, cosine), (cosine * dx, -sine * dx)


def _horner(x: jax.Array, coefficients: tuple[float, ...]) -> jax.Array:
    total = jnp.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        total = total * x + c
    return total

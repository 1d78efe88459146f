"""Sine and cosine of half an angle, in arithmetic that vectorises.

XLA's CPU backend calls a scalar library routine for each; with one angle per bus and iteration that
call would take most of a power flow. Here whole turns are taken off the angle, and half of what is left,
in [-pi/2, pi/2], goes through the Taylor polynomials of both functions: straight-line code.

Reference: Cody & Waite, *Software Manual for the Elementary Functions* (1980), ch. 8 (the reduction).
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

# Degrees that leave less than a tenth of a unit in the last place at pi/2.
_DEGREE = {np.dtype(np.float32): 14, np.dtype(np.float64): 22}
# 2 pi in parts, the first two with trailing zeros, so that their products with a whole number are exact.
_TURN = {
    np.dtype(np.float32): (6.28125, 1.9350051879882812e-3, 3.019916050561733e-7),
    np.dtype(np.float64): (6.2831853069365025, 2.4308402025215864e-10, 8.089064995183803e-21),
}


@jax.custom_jvp
def half_angle(angle: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Sine and cosine of half an angle, both with the sign of one of them left open.

    Where ``angle`` is within half a turn of zero they are sin(angle/2) and cos(angle/2); every whole
    turn may change the sign of both, so that only their squares and their product have a meaning.

    Args:
      angle: rad, float32 or float64 array of any shape, |angle| < 1e4.

    Returns:
      (sine, cosine), to about one unit in the last place of 1.
    """
    dtype = np.dtype(angle.dtype)
    turns = jnp.floor(angle * (0.5 / np.pi) + 0.5)
    r = angle
    for part in _TURN[dtype]:
        r = r - turns * part
    half = 0.5 * r
    square = half * half
    degree = _DEGREE[dtype]
    # The leading terms apart: adding them last keeps their digits.
    sine = half + half * square * _taylor(square, range(3, degree, 2))
    cosine = 1 - 0.5 * square + square * square * _taylor(square, range(4, degree + 1, 2))
    return sine, cosine


@half_angle.defjvp
def _half_angle_jvp(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
    sine, cosine = half_angle(*primals)
    half = 0.5 * tangents[0]
    return (sine, cosine), (cosine * half, -sine * half)


def _taylor(square: jax.Array, powers: range) -> jax.Array:
    """Sum over the powers n of (-1)^(n // 2) x^(n - n_first) / n!, in the square of x."""
    total = jnp.zeros_like(square)
    for n in reversed(powers):
        total = total * square + (-1) ** (n // 2) / math.factorial(n)
    return total

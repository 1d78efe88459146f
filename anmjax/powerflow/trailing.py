"""Batch-trailing evaluation: the layout in which whole batches of grids are simulated.

A function written for arrays ``[component, *batch]`` sweeps long contiguous runs of lanes in every
operation. ``jax.vmap`` puts the batch first instead; ``batch_trailing`` turns its batch axes round,
for any nesting of vmap, so that users write ``jax.vmap(f)`` and the hardware sees the fast layout.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

_Out = TypeVar("_Out")


def batch_trailing(fn: Callable[..., _Out]) -> Callable[..., _Out]:
    """Makes every ``jax.vmap`` of ``fn`` append one trailing axis to its arguments.

    Not differentiable in reverse mode (see ``jax.custom_batching.custom_vmap``).

    Args:
      fn: function of pytrees of arrays ``[*component, *batch]`` that broadcasts over the batch axes;
        an axis of size one means that the argument is shared by all lanes.

    Returns:
      The same function for one lane.
    """
    lane = jax.custom_batching.custom_vmap(fn)

    @lane.def_vmap
    def rule(axis_size: int, in_batched: list[Any], *args: Any) -> tuple[_Out, Any]:
        def turn_in(batched: bool, x: jax.Array) -> jax.Array:
            return jnp.moveaxis(x, 0, -1) if batched else x[..., None]

        def turn_out(y: jax.Array) -> jax.Array:
            return jnp.moveaxis(jnp.broadcast_to(y, (*y.shape[:-1], axis_size)), -1, 0)

        out = lane(*jax.tree.map(turn_in, tuple(in_batched), args))
        return jax.tree.map(turn_out, out), jax.tree.map(lambda _: True, out)

    return lane


def differentiable_batch_trailing(fn: Callable[..., _Out]) -> Callable[..., _Out]:
    """``batch_trailing`` with the derivatives, of every order and mode, of ``fn`` for one lane.

    Evaluation is batch-trailing; under differentiation ``fn`` is evaluated lane by lane and vmapped
    as usual, so that whatever it is made of brings its own derivative rules.
    """
    lane = jax.custom_jvp(batch_trailing(fn))

    def rule(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[_Out, _Out]:
        return jvp_of_perturbed(fn, primals, tangents)

    lane.defjvp(rule, symbolic_zeros=True)
    return lane


def jvp_of_perturbed(
    fn: Callable[..., _Out], primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[_Out, _Out]:
    """``jax.jvp`` that spends nothing on arguments whose tangent is a ``SymbolicZero``."""
    leaves, treedef = jax.tree.flatten(primals)
    dots = jax.tree.leaves(tangents, is_leaf=lambda x: isinstance(x, SymbolicZero))
    perturbed = [i for i, dot in enumerate(dots) if not isinstance(dot, SymbolicZero)]

    def of_perturbed(*values: jax.Array) -> _Out:
        merged = list(leaves)
        for i, value in zip(perturbed, values, strict=True):
            merged[i] = value
        return fn(*jax.tree.unflatten(treedef, merged))

    return jax.jvp(of_perturbed, [leaves[i] for i in perturbed], [dots[i] for i in perturbed])

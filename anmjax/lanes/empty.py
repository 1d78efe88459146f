"""Arrays without elements, which jaxlib 0.11.2 cannot take into ``jax.shard_map``.

A network without loads of constant current has such arrays, a state without storage units too. Where one is
an argument of a program over several devices, or is captured by it, XLA puts a constant in its place before
it shares the program out, and the process dies while compiling. Made inside, such arrays do no harm.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

_Tree = TypeVar("_Tree")
_Out = TypeVar("_Out")


def made_here(tree: _Tree, *data: Any) -> _Tree:
    """``tree``, with new arrays for those without elements: a program that uses these captures none.

    Without a traced array in it or in ``data``, what it is used with, there is no program: it stays as it is.
    """
    if not any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves((tree, data))):
        return tree

    def make(x: Any) -> Any:
        return jnp.zeros(x.shape, jax.dtypes.canonicalize_dtype(x.dtype)) if _is_empty(x) else x

    return jax.tree.map(make, tree)


def shard_map(
    fn: Callable[..., _Out], *, mesh: Mesh, in_specs: Any, out_specs: Any, check_vma: bool = True
) -> Callable[..., _Out]:
    """``jax.shard_map`` of a function whose arguments may have leaves without elements."""

    def run(*args: Any) -> _Out:
        leaves, structure = jax.tree.flatten(args)
        spec_of = jax.tree.leaves(jax.tree.broadcast(in_specs, args, is_leaf=_is_spec), is_leaf=_is_spec)
        full = [i for i, x in enumerate(leaves) if not _is_empty(x)]

        def inside(*given: jax.Array) -> _Out:
            here = [
                _share(x, mesh, spec) if _is_empty(x) else x for x, spec in zip(leaves, spec_of, strict=True)
            ]
            for i, x in zip(full, given, strict=True):
                here[i] = x
            return fn(*jax.tree.unflatten(structure, here))

        own = tuple(spec_of[i] for i in full)
        spread = jax.shard_map(inside, mesh=mesh, in_specs=own, out_specs=out_specs, check_vma=check_vma)
        return spread(*(leaves[i] for i in full))

    return run


def _share(x: jax.Array, mesh: Mesh, spec: PartitionSpec) -> jax.Array:
    """What one device has of an array without elements, with the type that an argument would have."""
    axes = [name for entry in spec if entry for name in ([entry] if isinstance(entry, str) else entry)]
    here = jnp.zeros(NamedSharding(mesh, spec).shard_shape(x.shape), x.dtype)
    return jax.lax.pcast(here, tuple(axes), to="varying") if axes else here


def _is_empty(x: Any) -> bool:
    return isinstance(x, (jax.Array, np.ndarray)) and x.size == 0


def _is_spec(x: Any) -> bool:
    return isinstance(x, PartitionSpec)

"""Mesh axes that arrays vary over inside ``jax.shard_map``: constants take them from the data they meet.

A loop's carry has one type from its first pass to its last. Where it begins as a constant, the same on all
devices, and becomes data, which is not, the constant is cast. Elsewhere nothing is.
"""

from __future__ import annotations

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

_Tree = TypeVar("_Tree")


def varying_axes(tree: Any) -> frozenset[str]:
    """Mesh axes that any leaf varies over; none outside ``jax.shard_map``."""
    axes: frozenset[str] = frozenset()
    for leaf in jax.tree.leaves(tree):
        axes |= _axes(leaf)
    return axes


def as_varying(tree: _Tree, like: Any) -> _Tree:
    """``tree``, of which every leaf varies over all mesh axes that a leaf of ``like`` varies over."""
    axes = varying_axes(like)

    def cast(leaf: jax.Array) -> jax.Array:
        missing = tuple(sorted(axes - _axes(leaf)))
        return jax.lax.pcast(leaf, missing, to="varying") if missing else leaf

    return jax.tree.map(cast, tree) if axes else tree


def tangents_of(outputs: _Tree, tangents: _Tree) -> _Tree:
    """Tangents that vary as the outputs of a derivative rule do: those of flags begin as constants."""
    return jax.tree.map(lambda x, dx: as_varying(dx, x), outputs, tangents)


def no_tangents(outputs: _Tree) -> _Tree:
    """Tangents of zero, those of flags and whole numbers of the type that they have."""

    def zero(x: Any) -> Any:
        floating = jnp.issubdtype(x.dtype, jnp.floating)
        return jnp.zeros_like(x) if floating else np.zeros(x.shape, jax.dtypes.float0)

    return jax.tree.map(zero, outputs)


def _axes(leaf: Any) -> frozenset[str]:
    aval = jax.typeof(leaf)
    # A record of its own from jax 0.10 on.
    manual = getattr(aval, "manual_axis_type", None)
    return getattr(aval, "vma", frozenset()) if manual is None else manual.varying

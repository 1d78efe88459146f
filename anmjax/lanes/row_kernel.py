"""Kernels of a GPU that loop over rows, one lane a thread.

Of arrays ``[*component, n, lanes]`` such a kernel reads and writes the rows that it needs, by numbers that it
reads from tables, for a block of lanes: whatever it does between is in registers, and no lane waits for
others than those of its block. Arithmetic on rows is written for arrays ``[*component, 1]`` of one lane, as
anywhere else, and evaluated element by element.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core
from jax.interpreters import mlir

from anmjax.lanes.blocks import num_lanes
from anmjax.lanes.written import Written
from anmjax.lanes.written import filled as elements_of

_Out = TypeVar("_Out")
_Carry = TypeVar("_Carry")
# An array ``(*component, 1)`` of objects, as of ``anmjax.lanes.written``.
Row = np.ndarray

# Of a block: a warp, which goes on until the slowest of them is done. Whatever one of its threads has
# written it reads again itself.
LANES = 32
_LANES = Written((LANES,))


@dataclasses.dataclass(frozen=True)
class Rows:
    """An array in memory, of which a kernel reads and writes rows."""

    ref: Any  # (*component, n, LANES), or (*component, n) shared by all lanes
    component: tuple[int, ...]
    inside: jax.Array | None = None  # (LANES,) which lanes there are; None: all

    @property
    def dtype(self) -> Any:
        """Of its numbers."""
        return self.ref.dtype

    def __getitem__(self, i: jax.Array | int) -> Row:
        """The row (*component, 1); of lanes that are not there zeros."""
        return elements_of((*self.component, 1), (self._read(at) for at in self._places(i)))

    def __setitem__(self, i: jax.Array | int, row: Row) -> None:
        from jax.experimental.pallas import triton

        for at, x in zip(self._places(i), row.reshape(-1), strict=True):
            triton.store(self.ref.at[(*at, slice(None))], _LANES.of_lanes(x, self.dtype), mask=self.inside)

    def _places(self, i: jax.Array | int) -> list[tuple[Any, ...]]:
        # All of one type, which is that of the numbers that slices begin with.
        i = jnp.asarray(i, int)
        return [(*map(i.dtype.type, component), i) for component in np.ndindex(self.component)]

    def _read(self, at: tuple[Any, ...]) -> jax.Array:
        from jax.experimental.pallas import triton

        if self.ref.ndim == len(at):
            return self.ref[at]
        other = None if self.inside is None else jnp.zeros((), self.dtype)
        return triton.load(self.ref.at[(*at, slice(None))], mask=self.inside, other=other)


@dataclasses.dataclass(frozen=True)
class Table:
    """Numbers that a kernel looks up; all tables of a kernel are parts of one array."""

    ref: Any
    start: int

    def __getitem__(self, i: jax.Array) -> jax.Array:
        number: jax.Array = self.ref[i + self.start]
        return number


def row_kernel(
    body: Callable[..., None],
    arrays: Any,
    tables: Any,
    out: Any,
    scratch: Any,
    *,
    name: str,
    interpreted: bool = False,
) -> Any:
    """Runs ``body(arrays, tables, out, scratch)`` as one kernel.

    Args:
      body: function of pytrees as of the further arguments, with ``Rows`` and, for tables, ``Table``.
      arrays: pytree of arrays ``[*component, n, lanes]``; an axis of lanes of size one is shared by all.
      tables: pytree of int32 NumPy arrays.
      out: pytree of ``jax.ShapeDtypeStruct`` of arrays ``[*component, n, lanes]``.
      scratch: pytree of the same of ``[*component, n]``, that every lane has to work with.
      name: of the kernel, in profiles.
      interpreted: whether Pallas interprets it, as it can on any platform.

    Returns:
      The arrays ``out``.
    """
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import triton

    lanes = num_lanes(arrays)
    blocks, zero = -(-lanes // LANES), np.int32(0)
    parts, treedef = jax.tree.flatten(tables)
    starts = np.cumsum([0, *map(len, parts)]).tolist()[:-1]
    numbers = np.concatenate(parts)

    def shared(x: Any) -> bool:
        return x.shape[-1] == 1 and lanes > 1

    def spec(x: Any) -> Any:
        if shared(x):
            return whole(x.shape[:-1])
        return pl.BlockSpec((*x.shape[:-1], LANES), lambda b: (*[zero] * (x.ndim - 1), b))

    def whole(shape: tuple[int, ...]) -> Any:
        return pl.BlockSpec(shape, lambda b: (zero,) * len(shape))

    def own(x: Any) -> Any:
        return pl.BlockSpec((None, *x.shape, LANES), lambda b: (b, *[zero] * (x.ndim + 1)))

    def kernel(arrays_ref: Any, numbers_ref: Any, out_ref: Any, scratch_ref: Any) -> None:
        inside = None
        if lanes % LANES:
            inside = pl.program_id(0) * LANES + jax.lax.iota(np.int32, LANES) < lanes

        def rows(ref: Any, x: Any) -> Rows:
            return Rows(ref, x.shape[:-2], None if shared(x) else inside)

        body(
            jax.tree.map(rows, arrays_ref, arrays),
            jax.tree.unflatten(treedef, [Table(numbers_ref, start) for start in starts]),
            jax.tree.map(rows, out_ref, out),
            jax.tree.map(lambda ref, x: Rows(ref, x.shape[:-1]), scratch_ref, scratch),
        )

    made, _ = pl.pallas_call(
        kernel,
        grid=(blocks,),
        in_specs=[jax.tree.map(spec, arrays), whole(numbers.shape)],
        out_specs=[jax.tree.map(spec, out), jax.tree.map(own, scratch)],
        # Inside ``jax.shard_map``, too, the kernel is of one device.
        out_shape=[
            jax.tree.map(lambda x: jax.core.ShapedArray(x.shape, x.dtype), out),
            jax.tree.map(lambda x: jax.core.ShapedArray((blocks, *x.shape, LANES), x.dtype), scratch),
        ],
        compiler_params=triton.CompilerParams(num_warps=1, num_stages=1),
        interpret=interpreted,
        name=name,
    )(jax.tree.map(lambda x: x[..., 0] if shared(x) else x, arrays), jnp.asarray(numbers))
    return made


def of_rows(fn: Callable[..., Any]) -> Callable[..., Any]:
    """``fn`` of arrays ``(*component, 1)``, for rows of them."""

    def run(*rows: Any) -> Any:
        leaves, treedef = jax.tree.flatten(rows)
        shapes = [jax.ShapeDtypeStruct(x.shape, x.reshape(-1)[0].dtype) for x in leaves]
        one, out = jax.make_jaxpr(fn, return_shape=True)(*jax.tree.unflatten(treedef, shapes))
        return jax.tree.unflatten(jax.tree.structure(out), _LANES.evaluate(one, leaves))

    return run


def loop(
    first: jax.Array | int, last: jax.Array | int, step: Callable[[jax.Array, _Carry], _Carry], carry: _Carry
) -> _Carry:
    """``carry = step(i, carry)`` for i from ``first`` to before ``last``; the carry is a pytree of rows."""
    leaves, treedef = jax.tree.flatten(carry)
    shapes = [x.shape for x in leaves]

    def flat(carry: Any) -> list[jax.Array]:
        return [_LANES.of_lanes(x, x.dtype) for row in jax.tree.leaves(carry) for x in row.reshape(-1)]

    def turn(i: jax.Array, elements: list[jax.Array]) -> list[jax.Array]:
        return flat(step(i, rows(elements)))

    def rows(elements: list[jax.Array]) -> Any:
        own = iter(elements)
        parts = [elements_of(shape, itertools.islice(own, math.prod(shape))) for shape in shapes]
        return jax.tree.unflatten(treedef, parts)

    begin, end = (np.int32(i) if isinstance(i, int) else i for i in (first, last))
    return rows(jax.lax.fori_loop(begin, end, turn, flat(carry)))


def filled(component: tuple[int, ...], value: Any) -> Row:
    """A row (*component, 1) of one number."""
    return elements_of((*component, 1), (value for _ in range(math.prod(component))))


def on_gpu(kernel: Callable[..., _Out], otherwise: Callable[..., _Out], *args: Any) -> _Out:
    """``kernel(*args)`` where this is compiled for an NVIDIA GPU, ``otherwise(*args)`` elsewhere.

    Unlike what ``jax.lax.platform_dependent`` is given the kernel is not even traced elsewhere.
    """
    whole, shapes = jax.make_jaxpr(otherwise, return_shape=True)(*args)
    treedef = jax.tree.structure(args)

    def flat(*leaves: jax.Array) -> list[jax.Array]:
        return jax.tree.leaves(kernel(*jax.tree.unflatten(treedef, leaves)))

    out = _on_gpu.bind(*jax.tree.leaves(args), kernel=flat, otherwise=whole)
    return jax.tree.unflatten(jax.tree.structure(shapes), out)


_on_gpu = core.Primitive("on_gpu")
_on_gpu.multiple_results = True
_on_gpu.def_abstract_eval(lambda *_, otherwise, **__: otherwise.out_avals)
_on_gpu.def_impl(lambda *args, **params: jax.jit(lambda *args: _on_gpu.bind(*args, **params))(*args))


def _lower_elsewhere(ctx: Any, *args: Any, kernel: Any, otherwise: Any) -> Any:
    return mlir.lower_fun(core.jaxpr_as_fun(otherwise), multiple_results=True)(ctx, *args)


def _lower_on_gpu(ctx: Any, *args: Any, kernel: Any, otherwise: Any) -> Any:
    # Inside ``jax.shard_map`` this is one device's own: nothing varies over the mesh any more.
    here = [jax.core.ShapedArray(aval.shape, aval.dtype) for aval in ctx.avals_in]
    return mlir.lower_fun(kernel, multiple_results=True)(ctx.replace(avals_in=here), *args)


mlir.register_lowering(_on_gpu, _lower_elsewhere)
mlir.register_lowering(_on_gpu, _lower_on_gpu, platform="cuda")

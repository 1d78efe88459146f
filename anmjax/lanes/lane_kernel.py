"""A program of a lane, written out, as one kernel that keeps every lane in registers.

What lanes share is worked out once for all of them, outside, and read from tables. A loop that a lane leaves
by itself is left by a block with the last of its lanes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu, triton

from anmjax.lanes.flat import Flat, can_hold, evaluate, on_elements, value

WARP = 32  # lanes of a block of a GPU: a thread takes a lane, and the fewer there are the sooner they end
TILE = (8, 128)  # lanes of a vector register of a TPU
TILES = 4  # that a TPU takes into its memory at a time


def lane_kernel(
    one: Any, avals: Sequence[Any], platform: str, *, interpreted: bool = False
) -> Callable[..., list[jax.Array]] | None:
    """The program ``one`` of a lane, for arrays with an axis of lanes, as one kernel.

    Args:
      one: the program.
      avals: of its arguments for all lanes, ``[*component, lanes]``; an axis of size one is shared by all.
      platform: what the kernel is for, a key of ``PLATFORMS``.
      interpreted: whether Pallas interprets it, as it can on any platform.

    Returns:
      The function; None where a kernel cannot hold the program, see ``can_hold``.
    """
    lanes = max(aval.shape[-1] for aval in avals)
    kind = PLATFORMS[platform]
    flat = on_elements(one, avals, kind.block(lanes))
    if not can_hold(flat, kind.dtypes):
        return None
    read = [i for i, aval in enumerate(avals) if aval.shape[-1] > 1 and aval.size]
    tables: dict[Any, list[Any]] = {}
    for var in flat.table:
        tables.setdefault(_in_table(var), []).append(var)
    call = kind.launch(flat, [flat.arguments[i] for i in read], list(tables.values()), lanes, interpreted)

    def run(*args: jax.Array) -> list[jax.Array]:
        known = dict(flat.known)
        for x, variables in zip(args, flat.arguments, strict=True):
            known |= dict(zip(variables, x.reshape(-1), strict=True)) if x.shape[-1] == 1 else {}
        evaluate(flat.of_all, known)
        numbers = [jnp.stack([known[var].astype(kept) for var in table]) for kept, table in tables.items()]
        made = iter(call([args[i].reshape(-1, lanes) for i in read], numbers))

        def result(aval: Any, parts: list[list[Any]], own: bool) -> jax.Array:
            if own:
                arrays = [next(made).reshape(*aval.shape, lanes) for _ in parts]
            else:
                arrays = [_of_all_lanes(part, known, aval, lanes) for part in parts]
            return arrays[0] if len(parts) == 1 else jax.lax.complex(*arrays)

        return [result(*each) for each in zip(one.out_avals, flat.results, flat.own, strict=True)]

    return run


def _of_all_lanes(part: list[Any], known: dict[Any, Any], aval: Any, lanes: int) -> jax.Array:
    """A result that lanes share, written out for each."""
    elements = [jnp.asarray(value(atom, known)) for atom in part]
    x = jnp.stack(elements) if elements else jnp.zeros(0, aval.dtype)
    return jnp.broadcast_to(x.reshape(*aval.shape, 1), (*aval.shape, lanes))


def _in_table(var: Any) -> Any:
    """The type that a table keeps a shared value in: flags are numbers, as one table is better than two."""
    return np.dtype(np.float32) if var.aval.dtype.kind == "b" else var.aval.dtype


class _Values(dict[Any, Any]):
    """Values of variables. Those of tables are read wherever they are used, rather than kept in registers."""

    def __init__(self, tables: Sequence[Sequence[Any]], refs: Sequence[Any]) -> None:
        self.places = {
            var: (ref, i) for table, ref in zip(tables, refs, strict=True) for i, var in enumerate(table)
        }

    def __missing__(self, var: Any) -> Any:
        ref, i = self.places[var]
        return ref[i] if var.aval.dtype == ref.dtype else ref[i] != 0


Call = Callable[[list[jax.Array], list[jax.Array]], Sequence[jax.Array]]


def _on_gpu(
    flat: Flat, read: list[list[Any]], tables: list[list[Any]], lanes: int, interpreted: bool
) -> Call:
    """A grid of warps, in which arrays are [lanes, component], as they are outside of this layout."""
    [block], written = _warp(lanes), flat.written

    def kernel(*refs: Any) -> None:
        # The last block begins early enough to be whole: it and the one before it write the same.
        first = jnp.minimum(pl.program_id(0) * np.int32(block), np.int32(lanes - block))
        here, known = pl.ds(first, block), _Values(tables, refs[len(read) : -len(written)])
        for variables, ref in zip(read, refs[: len(read)], strict=True):
            known |= {var: ref[here, column] for column, var in enumerate(variables)}
        evaluate(flat.of_each, known)
        for part, ref in zip(written, refs[-len(written) :], strict=True):
            for column, var in enumerate(part):
                ref[here, column] = known[var]

    call = pl.pallas_call(
        kernel,
        [jax.core.ShapedArray((lanes, len(part)), part[0].aval.dtype) for part in written],
        grid=(-(-lanes // block),),
        compiler_params=triton.CompilerParams(num_warps=1, num_stages=1),
        interpret=interpreted,
        name="lane_kernel",
    )
    return lambda arrays, numbers: [y.T for y in call(*(x.T for x in arrays), *numbers)]


def _on_tpu(
    flat: Flat, read: list[list[Any]], tables: list[list[Any]], lanes: int, interpreted: bool
) -> Call:
    """A grid of tiles, in which every element is an array of its own, [lanes / 128, 128]."""
    rows = -(-lanes // TILE[1])
    tiles = min(TILES, -(-rows // TILE[0]))
    most = tiles * TILE[0]
    padded = -(-rows // most) * most
    taken = [var for variables in read for var in variables]
    given = [var for part in flat.written for var in part]

    def kernel(*refs: Any) -> None:
        def tile(i: jax.Array, _: None) -> None:
            here = pl.ds(i * np.int32(TILE[0]), TILE[0])
            known = _Values(tables, refs[len(taken) : -len(given)])
            known |= {var: ref[here, :] for var, ref in zip(taken, refs[: len(taken)], strict=True)}
            evaluate(flat.of_each, known)
            for var, ref in zip(given, refs[-len(given) :], strict=True):
                ref[here, :] = known[var].astype(ref.dtype)

        jax.lax.fori_loop(0, tiles, tile, None)

    block, table = pl.BlockSpec((most, TILE[1]), lambda i: (i, 0)), pl.BlockSpec(memory_space=tpu.SMEM)
    call = pl.pallas_call(
        kernel,
        [jax.core.ShapedArray((padded, TILE[1]), _stored(var.aval.dtype)) for var in given],
        grid=(padded // most,),
        in_specs=[*[block] * len(taken), *[table] * len(tables)],
        out_specs=[block] * len(given),
        interpret=interpreted,
        name="lane_kernel",
    )

    def run(arrays: list[jax.Array], numbers: list[jax.Array]) -> list[jax.Array]:
        elements = [
            jnp.pad(row.astype(_stored(row.dtype)), (0, padded * TILE[1] - lanes), mode="edge").reshape(
                padded, -1
            )
            for x in arrays
            for row in x
        ]
        made = iter(call(*elements, *numbers))
        return [
            jnp.stack([next(made).reshape(-1)[:lanes].astype(var.aval.dtype) for var in part])
            for part in flat.written
        ]

    return run


def _stored(dtype: Any) -> Any:
    """The type that values are kept in, in a TPU's memory."""
    return np.dtype(np.int32) if dtype.kind == "b" else dtype


def _warp(lanes: int) -> tuple[int]:
    return (min(WARP, 1 << (lanes.bit_length() - 1)),)


@dataclass(frozen=True)
class _Platform:
    """How a platform takes kernels."""

    launch: Callable[[Flat, list[list[Any]], list[list[Any]], int, bool], Call]
    block: Callable[[int], tuple[int, ...]]  # shape of the lanes of a block, of so many
    dtypes: frozenset[Any]  # that its kernels know


_SINGLE = frozenset(map(np.dtype, ("float32", "int32", "bool")))
PLATFORMS = {
    "cuda": _Platform(_on_gpu, _warp, _SINGLE | {np.dtype("float64"), np.dtype("int64")}),
    "tpu": _Platform(_on_tpu, lambda lanes: TILE, _SINGLE),
}

"""A program of a lane, written out, as one kernel of a GPU: a thread takes a lane and keeps it in registers.

What lanes share is worked out once for all of them, outside, and read from tables. A loop that a lane leaves
by itself is left by a block with the last of its lanes: so a block is a warp, the fewest lanes there are.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jax.extend import core

from anmjax.lanes.written import KERNEL, Elements, Written, parts_of, varies

WARP = 32  # lanes of a block

# What a kernel holds, on elements, besides the loops and choices of ``_INNER``.
_HELD = {
    *("abs", "add", "and", "broadcast_in_dim", "clamp", "convert_element_type", "cos", "div", "eq", "exp"),
    *("floor", "ge", "gt", "integer_pow", "is_finite", "le", "log", "lt", "max", "min", "mul", "ne", "neg"),
    *("not", "or", "pow", "reduce_max", "rsqrt", "select_n", "sign", "sin", "sqrt", "square", "sub", "tanh"),
}
_INNER: dict[str, tuple[str, ...]] = {
    "cond": ("branches",),
    "jit": ("jaxpr",),
    "pjit": ("jaxpr",),
    "scan": ("jaxpr",),
}
_INNER["while"] = ("cond_jaxpr", "body_jaxpr")


class Flat(NamedTuple):
    """A program on elements, each a variable: that of lanes has the shape of a block, a shared one none."""

    arguments: list[list[Any]]  # variables of each argument
    results: list[list[list[Any]]]  # of each result, those of a complex one in two parts
    own: list[bool]  # of each result, whether lanes have their own
    known: dict[Any, Any]  # values of constants
    of_all: list[Any]  # equations whose results lanes share
    of_each: list[Any]  # those whose results each lane has of its own
    table: list[Any]  # variables that these take of those


class _OfBlock(Written):
    """Programs written out for a block of lanes."""

    platform = KERNEL

    def _apply(self, equation: Any, args: list[Elements]) -> Sequence[Elements]:
        if equation.primitive.name == "while" and any(varies(x) for x in args):
            return self._until_still(equation.params, args)
        return super()._apply(equation, args)

    def _until_still(self, params: Any, args: list[Elements]) -> list[Elements]:
        """A loop that every lane leaves by itself, and the block with the last of them."""
        n_asked, n_taken = params["cond_nconsts"], params["body_nconsts"]
        asked, taken, begin = args[:n_asked], args[n_asked:][:n_taken], args[n_asked + n_taken :]
        body, avals = params["body_jaxpr"], params["body_jaxpr"].in_avals[n_taken:]

        def moves(carry: Iterable[jax.Array]) -> jax.Array:
            [out] = self.evaluate(params["cond_jaxpr"], [*asked, *parts_of(avals, carry)])
            return self.of_lanes(out[()], bool)

        def turn(carry: Iterable[jax.Array]) -> list[jax.Array]:
            moving = moves(carry)
            new = self.flat(avals, self.evaluate(body, [*taken, *parts_of(avals, carry)]))
            return [jax.lax.select(moving, x, y) for x, y in zip(new, carry, strict=True)]

        def any_moves(carry: Iterable[jax.Array]) -> jax.Array:
            return jnp.max(moves(carry).astype(np.int32)) > 0

        return parts_of(avals, jax.lax.while_loop(any_moves, turn, self.flat(avals, begin)))


def lane_kernel(
    one: Any, avals: Sequence[Any], *, interpreted: bool = False
) -> Callable[..., list[jax.Array]] | None:
    """The program ``one`` of a lane, for arrays with an axis of lanes, as one kernel.

    Args:
      one: the program.
      avals: of its arguments for all lanes, ``[*component, lanes]``; an axis of size one is shared by all.
      interpreted: whether Pallas interprets the kernel, as it can on any platform.

    Returns:
      The function; None where a kernel cannot hold the program, see ``can_hold``.
    """
    lanes = max(aval.shape[-1] for aval in avals)
    block = min(WARP, 1 << (lanes.bit_length() - 1))
    flat = on_elements(one, avals, block)
    if not can_hold(flat):
        return None
    read = [i for i, aval in enumerate(avals) if aval.shape[-1] > 1 and aval.size]
    dtypes = sorted({var.aval.dtype for var in flat.table}, key=str)
    tables = [[var for var in flat.table if var.aval.dtype == dtype] for dtype in dtypes]
    written = [part for parts, own in zip(flat.results, flat.own, strict=True) if own for part in parts]

    def kernel(*refs: Any) -> None:
        # The last block begins early enough to be whole: it and the one before it write the same.
        first = jnp.minimum(pl.program_id(0) * np.int32(block), np.int32(lanes - block))
        here, known = pl.ds(first, block), _Values()
        for i, ref in zip(read, refs[: len(read)], strict=True):
            known |= {var: ref[here, column] for column, var in enumerate(flat.arguments[i])}
        for table, ref in zip(tables, refs[len(read) : -len(written)], strict=True):
            known.places |= {var: (ref, i) for i, var in enumerate(table)}
        _evaluate(flat.of_each, known)
        for part, ref in zip(written, refs[-len(written) :], strict=True):
            for column, var in enumerate(part):
                ref[here, column] = known[var]

    def run(*args: jax.Array) -> list[jax.Array]:
        known = dict(flat.known)
        for x, variables in zip(args, flat.arguments, strict=True):
            known |= dict(zip(variables, x.reshape(-1), strict=True)) if x.shape[-1] == 1 else {}
        _evaluate(flat.of_all, known)
        operands = [jnp.moveaxis(args[i], -1, 0).reshape(lanes, -1) for i in read]
        call = pl.pallas_call(
            kernel,
            [jax.core.ShapedArray((lanes, len(part)), part[0].aval.dtype) for part in written],
            grid=(-(-lanes // block),),
            compiler_params=triton.CompilerParams(num_warps=1, num_stages=1),
            interpret=interpreted,
            name="lanes",
        )
        made = iter(call(*operands, *(jnp.stack([known[var] for var in table]) for table in tables)))

        def result(aval: Any, parts: list[list[Any]], own: bool) -> jax.Array:
            if own:
                arrays = [jnp.moveaxis(next(made).reshape(lanes, *aval.shape), 0, -1) for _ in parts]
            else:
                arrays = [_of_all_lanes(part, known, aval, lanes) for part in parts]
            return arrays[0] if len(parts) == 1 else jax.lax.complex(*arrays)

        return [result(*each) for each in zip(one.out_avals, flat.results, flat.own, strict=True)]

    return run


def can_hold(flat: Flat) -> bool:
    """Whether a kernel can hold a program: by its operations on elements and by their types alone."""
    return any(flat.own) and not any(var.aval.shape for var in flat.table) and _all_held(flat.of_each)


def _all_held(equations: Sequence[Any]) -> bool:
    for equation in equations:
        inner = [equation.params[key] for key in _INNER.get(equation.primitive.name, ())]
        bodies = [body.jaxpr for part in inner for body in (part if isinstance(part, tuple) else [part])]
        if not all(_all_held(body.eqns) for body in bodies):
            return False
        if not bodies and equation.primitive.name not in _HELD:
            return False
        if any(var.aval.ndim > 1 or var.aval.dtype.kind == "c" for var in equation.outvars):
            return False
    return True


def on_elements(one: Any, avals: Sequence[Any], block: int) -> Flat:
    """Writes a program out for a block of lanes, and tells what lanes share from what each has."""
    written, own = _OfBlock((block,)), list[bool]()
    of_lane = [jax.core.ShapedArray(aval.shape[:-1], aval.dtype) for aval in avals]

    def run(*elements: jax.Array) -> list[list[jax.Array]]:
        out = written.evaluate(one, parts_of(of_lane, elements))
        own.extend(varies(x) for x in out)
        return [written.flat([a], [x], o) for a, x, o in zip(one.out_avals, out, own, strict=True)]

    shapes = [
        jax.ShapeDtypeStruct(() if aval.shape[-1] == 1 else (block,), aval.dtype)
        for aval in avals
        for _ in range(math.prod(aval.shape[:-1]))
    ]
    closed = jax.make_jaxpr(run)(*shapes)
    jaxpr = closed.jaxpr
    made_by = {var: equation for equation in jaxpr.eqns for var in equation.outvars}
    results = [
        _in_parts(variables, made_by, aval.dtype)
        for variables, aval in zip(_cut(jaxpr.outvars, one.out_avals), one.out_avals, strict=True)
    ]
    of_all, of_each, table = _sorted(jaxpr, [var for parts in results for part in parts for var in part])
    return Flat(
        arguments=_cut(jaxpr.invars, of_lane),
        results=results,
        own=own,
        known=dict(zip(jaxpr.constvars, closed.consts, strict=True)),
        of_all=of_all,
        of_each=of_each,
        table=table,
    )


def _in_parts(variables: list[Any], made_by: dict[Any, Any], dtype: Any) -> list[list[Any]]:
    """The variables of a result; of a complex one what they are made of, as kernels know no such numbers."""
    makers = [made_by.get(var) if isinstance(var, core.Var) else None for var in variables]
    if dtype.kind != "c" or not all(maker and maker.primitive.name == "complex" for maker in makers):
        return [variables]
    return [[maker.invars[i] for maker in makers if maker] for i in (0, 1)]


def _sorted(jaxpr: Any, results: Iterable[Any]) -> tuple[list[Any], list[Any], list[Any]]:
    """The equations that results depend on: ``of_all``, ``of_each`` and ``table`` of ``Flat``."""
    wanted, live = set(_variables(results)), []
    for equation in reversed(jaxpr.eqns):
        if not wanted.isdisjoint(equation.outvars):
            live.append(equation)
            wanted |= set(_variables(equation.invars))
    of_lanes = {var for var in jaxpr.invars if var.aval.shape}
    there = set(of_lanes)  # in the kernel
    of_all, of_each = [], []
    for equation in reversed(live):
        depends = not of_lanes.isdisjoint(_variables(equation.invars))
        if depends:
            of_lanes |= set(equation.outvars)
        else:
            of_all.append(equation)
        # A number that lanes share is spread over them inside.
        if depends or equation.primitive.name == "broadcast_in_dim":
            there |= set(equation.outvars)
            of_each.append(equation)
    taken = [var for equation in of_each for var in _variables(equation.invars) if var not in there]
    return of_all, of_each, list(dict.fromkeys(taken))


def _variables(atoms: Iterable[Any]) -> list[Any]:
    return [atom for atom in atoms if isinstance(atom, core.Var)]


def _cut(variables: Sequence[Any], avals: Sequence[Any]) -> list[list[Any]]:
    """Variables of the elements of some arrays, those of each array together."""
    left = iter(variables)
    return [list(itertools.islice(left, math.prod(aval.shape))) for aval in avals]


class _Values(dict[Any, Any]):
    """Values of variables. Those of tables are read wherever they are used, rather than kept in registers."""

    def __init__(self) -> None:
        self.places: dict[Any, tuple[Any, int]] = {}

    def __missing__(self, var: Any) -> Any:
        ref, i = self.places[var]
        return ref[i]


def _evaluate(equations: Sequence[Any], known: dict[Any, Any]) -> None:
    """Adds the results of some equations to the values that are known."""
    for equation in equations:
        args = [_value(atom, known) for atom in equation.invars]
        out = equation.primitive.bind(*args, **equation.params)
        known.update(
            zip(equation.outvars, out if equation.primitive.multiple_results else [out], strict=True)
        )


def _value(atom: Any, known: dict[Any, Any]) -> Any:
    return atom.val if isinstance(atom, core.Literal) else known[atom]


def _of_all_lanes(part: list[Any], known: dict[Any, Any], aval: Any, lanes: int) -> jax.Array:
    """A result that lanes share, written out for each."""
    elements = [jnp.asarray(_value(atom, known)) for atom in part]
    x = jnp.stack(elements) if elements else jnp.zeros(0, aval.dtype)
    return jnp.broadcast_to(x.reshape(*aval.shape, 1), (*aval.shape, lanes))

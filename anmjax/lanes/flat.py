"""Programs of a lane, written out for a block of lanes, as equations on elements: what a kernel is made of.

What lanes share is told from what each has of its own, and what a kernel can hold from what it cannot.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from anmjax.lanes.written import KERNEL, Elements, Written, parts_of, varies

# What a kernel holds, on elements, besides the loops and choices of ``_INNER``.
_HELD = {
    *("abs", "add", "and", "broadcast_in_dim", "clamp", "convert_element_type", "cos", "div", "eq", "exp"),
    *("floor", "ge", "gt", "integer_pow", "is_finite", "le", "log", "lt", "max", "min", "mul", "ne", "neg"),
    *("not", "or", "pow", "reduce_max", "rsqrt", "select_n", "sin", "sqrt", "square", "sub", "tanh"),
}
_INNER: dict[str, tuple[str, ...]] = {
    "cond": ("branches",),
    "jit": ("jaxpr",),
    "pjit": ("jaxpr",),
    "scan": ("jaxpr",),
    "while": ("cond_jaxpr", "body_jaxpr"),
}


class Flat(NamedTuple):
    """A program on elements, each a variable: that of lanes has the shape of a block, a shared one none."""

    arguments: list[list[Any]]  # variables of each argument
    results: list[list[list[Any]]]  # of each result, those of a complex one in two parts
    own: list[bool]  # of each result, whether lanes have their own
    known: dict[Any, Any]  # values of constants
    of_all: list[Any]  # equations whose results lanes share
    of_each: list[Any]  # those whose results each lane has of its own
    table: list[Any]  # variables that these take of those

    @property
    def written(self) -> list[list[Any]]:
        """The variables that a kernel writes, of each result or part of one."""
        return [part for parts, own in zip(self.results, self.own, strict=True) if own for part in parts]


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
            return jnp.max(jnp.where(moves(carry), np.float32(1), np.float32(0))) > 0

        return parts_of(avals, jax.lax.while_loop(any_moves, turn, self.flat(avals, begin)))


def can_hold(flat: Flat, dtypes: Collection[Any]) -> bool:
    """Whether a kernel that knows some types can hold a program: by its operations on elements alone."""
    shared = all(not var.aval.shape and var.aval.dtype in dtypes for var in flat.table)
    return any(flat.own) and shared and _all_held(flat.of_each, dtypes)


def _all_held(equations: Sequence[Any], dtypes: Collection[Any]) -> bool:
    for equation in equations:
        inner = [equation.params[key] for key in _INNER.get(equation.primitive.name, ())]
        bodies = [body.jaxpr for part in inner for body in (part if isinstance(part, tuple) else [part])]
        if not all(_all_held(body.eqns, dtypes) for body in bodies):
            return False
        if not bodies and equation.primitive.name not in _HELD:
            return False
        if not all(var.aval.dtype in dtypes for var in equation.outvars):
            return False
    return True


def on_elements(one: Any, avals: Sequence[Any], block: tuple[int, ...]) -> Flat:
    """Writes a program out for a block of lanes, and tells what lanes share from what each has."""
    written, own = _OfBlock(block), list[bool]()
    of_lane = [jax.core.ShapedArray(aval.shape[:-1], aval.dtype) for aval in avals]

    def run(*elements: jax.Array) -> list[list[jax.Array]]:
        out = written.evaluate(one, parts_of(of_lane, elements))
        own.extend(varies(x) for x in out)
        return [written.flat([a], [x], o) for a, x, o in zip(one.out_avals, out, own, strict=True)]

    shapes = [
        jax.ShapeDtypeStruct(() if aval.shape[-1] == 1 else block, aval.dtype)
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


def evaluate(equations: Sequence[Any], known: dict[Any, Any]) -> None:
    """Adds the results of some equations to the values that are known."""
    for equation in equations:
        args = [value(atom, known) for atom in equation.invars]
        out = equation.primitive.bind(*args, **equation.params)
        known.update(
            zip(equation.outvars, out if equation.primitive.multiple_results else [out], strict=True)
        )


def value(atom: Any, known: dict[Any, Any]) -> Any:
    """The value of a variable or a literal."""
    return atom.val if isinstance(atom, core.Literal) else known[atom]

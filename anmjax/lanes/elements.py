"""Functions of small arrays, evaluated with every element an array of lanes by itself.

A row of equations or a level of an elimination is then no array that one kernel writes and the next gathers
from, but so many names: what moves elements about costs nothing, and a GPU's compiler fuses the arithmetic of
hundreds of operations into few kernels that keep it in registers. The program grows with the number of
elements: for small ones alone.

It is written out while a program is lowered, for the platforms alone that take it.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core
from jax.interpreters import mlir

from anmjax.lanes.moves import MOVES

_Out = TypeVar("_Out")
# An array of objects: arrays of lanes, numbers that all lanes share, and constants.
_Elements = np.ndarray

_CALLED = ("jaxpr", "call_jaxpr", "call")  # parameters that hold what an operation calls
_CALLS = {"pjit", "jit", "closed_call", "custom_jvp_call", "custom_vmap_call"}
_REDUCTIONS = {
    "reduce_and": jax.lax.bitwise_and,
    "reduce_max": jax.lax.max,
    "reduce_min": jax.lax.min,
    "reduce_or": jax.lax.bitwise_or,
    "reduce_sum": jax.lax.add,
}
_ELEMENTWISE = {
    *("abs", "add", "and", "clamp", "complex", "convert_element_type", "cos", "div", "eq", "exp", "ge", "gt"),
    *("imag", "integer_pow", "is_finite", "le", "log", "lt", "max", "min", "mul", "ne", "neg", "not", "or"),
    *("pow", "real", "rem", "round", "rsqrt", "select_n", "sign", "sin", "sqrt", "square", "sub", "tanh"),
}


def by_element(fn: Callable[..., _Out], most: int) -> Callable[..., _Out]:
    """``fn``, which takes arrays ``[*component, lanes]``, evaluated element by element.

    Args:
      fn: function of arrays ``[*component, lanes]``, or ``[*component]`` of one lane. An axis of lanes of
        size one means that an argument is shared by all lanes.
      most: operations on elements; of a function that takes more the arrays stay whole.
    """

    def run(*args: Any) -> _Out:
        one = jax.make_jaxpr(fn)(*jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[:-1], x.dtype), args))
        whole, shapes = jax.make_jaxpr(fn, return_shape=True)(*args)
        if any(isinstance(x, jax.core.Tracer) for x in (*one.consts, *whole.consts)):
            return fn(*args)
        out = _by_element.bind(*jax.tree.leaves(args), one=one, whole=whole, most=most)
        return jax.tree.unflatten(jax.tree.structure(shapes), out)

    return run


_by_element = core.Primitive("by_element")
_by_element.multiple_results = True
_by_element.def_abstract_eval(lambda *_, whole, **__: whole.out_avals)
_by_element.def_impl(lambda *args, **params: jax.jit(functools.partial(_by_element.bind, **params))(*args))


def _lower(ctx: Any, *args: Any, one: Any, whole: Any, most: int) -> Any:
    if operations(one.jaxpr) > most:
        return mlir.lower_fun(core.jaxpr_as_fun(whole), multiple_results=True)(ctx, *args)
    # Inside ``jax.shard_map`` this is one device's own: no element varies over the mesh any more.
    here = [jax.core.ShapedArray(aval.shape, aval.dtype) for aval in ctx.avals_in]
    run = functools.partial(_written_out, one)
    return mlir.lower_fun(run, multiple_results=True)(ctx.replace(avals_in=here), *args)


mlir.register_lowering(_by_element, _lower)


def operations(jaxpr: core.Jaxpr) -> int:
    """Operations on elements in a program: of a loop those of one turn, of a choice the fewest.

    Of what depends on the platform, those for the platforms that are not named.
    """
    total = 0
    platform = {id(e.outvars[0]) for e in jaxpr.eqns if e.primitive.name == "platform_index"}
    for equation in jaxpr.eqns:
        inner = [equation.params[name] for name in _CALLED if name in equation.params]
        if inner:
            total += sum(operations(getattr(part, "jaxpr", part)) for part in inner)
        elif "branches" in equation.params and id(equation.invars[0]) in platform:
            total += operations(equation.params["branches"][-1].jaxpr)
        elif "branches" in equation.params:
            total += min(operations(branch.jaxpr) for branch in equation.params["branches"])
        elif equation.primitive.name not in MOVES:
            avals: list[Any] = [var.aval for var in equation.outvars]
            total += sum([math.prod(aval.shape) for aval in avals])
    return total


def _shared_and_handed_on(params: Any) -> tuple[int, int]:
    """Arguments of a scan that all turns share, and those that one hands on to the next."""
    if "ft_in" in params:  # from jax 0.11 on
        shared, handed_on, _ = params["ft_in"].unpack()
        return len(list(shared)), len(list(handed_on))
    return params["num_consts"], params["num_carry"]


def _written_out(one: Any, *args: jax.Array) -> list[jax.Array]:
    """The program ``one`` of a lane, for arrays with an axis of lanes."""
    program = _Program(max(x.shape[-1] for x in args))
    out = program.evaluate(one, [_split(x) for x in args])
    return [program.join(x, aval.dtype) for x, aval in zip(out, one.out_avals, strict=True)]


class _Program:
    """A program that is written out for so many lanes."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes

    def evaluate(self, closed: Any, args: Sequence[_Elements]) -> list[_Elements]:
        """The results of a program of one lane."""
        jaxpr = closed.jaxpr
        known: dict[Any, _Elements] = dict(zip(jaxpr.invars, args, strict=True))
        known |= {var: _constants(x) for var, x in zip(jaxpr.constvars, closed.consts, strict=True)}

        def read(atom: Any) -> _Elements:
            return _constants(atom.val) if isinstance(atom, core.Literal) else known[atom]

        for equation in jaxpr.eqns:
            out = self._apply(equation, [read(atom) for atom in equation.invars])
            known |= dict(zip(equation.outvars, out, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def join(self, x: _Elements, dtype: Any) -> jax.Array:
        """The array of some elements, ``[*component, lanes]``."""
        if not x.size:
            return jnp.zeros((*x.shape, self.lanes), dtype)
        return jnp.stack([self._of_lanes(one, dtype) for one in x.reshape(-1)]).reshape(*x.shape, self.lanes)

    def _apply(self, equation: Any, args: list[_Elements]) -> Sequence[_Elements]:
        name, params = equation.primitive.name, equation.params
        if name in MOVES:
            try:
                out = MOVES[name](*args, **params)
            except NotImplementedError:
                return self._whole(equation, args)
            return out if isinstance(out, list) else [out]
        if name in _CALLS:
            return self.evaluate(next(params[key] for key in _CALLED if key in params), args)
        if name == "platform_index":
            return [_constants(np.int32(len(params["platforms"])))]  # none of those that are named
        if name == "cond" and not _varies(args[0]):
            return self._choose(params["branches"], args[0][()], args[1:])
        if name == "scan" and sum(_shared_and_handed_on(params)) == len(args):
            return self._repeat(params, args)
        if name in _REDUCTIONS:
            return [self._reduce(equation, args[0])]
        if name in _ELEMENTWISE:
            shape = equation.outvars[0].aval.shape
            rows = [np.broadcast_to(x, shape).reshape(-1) for x in args]
            elements = (self._of_elements(equation, own) for own in zip(*rows, strict=True))
            return [_filled(shape, elements)]
        return self._whole(equation, args)

    def _of_elements(self, equation: Any, elements: Sequence[Any]) -> Any:
        """An operation on an element of each argument."""
        if equation.primitive.name == "select_n" and _is_constant(elements[0]):
            return elements[1 + int(elements[0])]
        dtypes = [atom.aval.dtype for atom in equation.invars]
        if any(np.ndim(x) for x in elements):
            own = [self._of_lanes(x, dtype) for x, dtype in zip(elements, dtypes, strict=True)]
        else:
            own = [jnp.asarray(x, dtype) for x, dtype in zip(elements, dtypes, strict=True)]
        return equation.primitive.bind(*own, **equation.params)

    def _choose(self, branches: Sequence[Any], index: Any, args: list[_Elements]) -> Sequence[_Elements]:
        """One of several programs, the same for all lanes; the compiler may know which."""
        if _is_constant(index):
            return self.evaluate(branches[min(max(int(index), 0), len(branches) - 1)], args)
        avals = branches[0].out_avals

        def written(branch: Any) -> Callable[[], list[jax.Array]]:
            def run() -> list[jax.Array]:
                out = self.evaluate(branch, args)
                return [self.join(x, aval.dtype) for x, aval in zip(out, avals, strict=True)]

            return run

        return [_split(x) for x in jax.lax.switch(index.astype(np.int32), [written(one) for one in branches])]

    def _repeat(self, params: Any, args: list[_Elements]) -> list[_Elements]:
        """A loop of so many turns; all that it hands on has lanes from its start, but for counters."""
        body, (num_consts, _) = params["jaxpr"], _shared_and_handed_on(params)
        consts, begin, avals = args[:num_consts], args[num_consts:], body.in_avals[num_consts:]
        counts = [np.issubdtype(aval.dtype, np.integer) and not aval.shape for aval in avals]

        def flat(parts: Sequence[_Elements]) -> list[jax.Array]:
            return [
                jnp.asarray(x, aval.dtype) if count and not np.ndim(x) else self._of_lanes(x, aval.dtype)
                for part, aval, count in zip(parts, avals, counts, strict=True)
                for x in part.reshape(-1)
            ]

        def parts(elements: Iterator[jax.Array]) -> list[_Elements]:
            return [_filled(aval.shape, itertools.islice(elements, math.prod(aval.shape))) for aval in avals]

        def turn(_: int, carry: list[jax.Array]) -> list[jax.Array]:
            return flat(self.evaluate(body, [*consts, *parts(iter(carry))]))

        return parts(iter(jax.lax.fori_loop(0, params["length"], turn, flat(begin))))

    def _reduce(self, equation: Any, x: _Elements) -> _Elements:
        combine, axes = _REDUCTIONS[equation.primitive.name], equation.params["axes"]
        kept = [i for i in range(x.ndim) if i not in axes]
        rows = x.transpose(*kept, *axes).reshape(*(x.shape[i] for i in kept), -1)

        def both(a: Any, b: Any) -> jax.Array:
            return combine(*jnp.broadcast_arrays(a, b))

        lists = rows.reshape(-1, rows.shape[-1])
        return _filled(rows.shape[:-1], (functools.reduce(both, row) for row in lists))

    def _whole(self, equation: Any, args: list[_Elements]) -> list[_Elements]:
        """Whatever else there is, on arrays."""
        joined = [self.join(x, atom.aval.dtype) for x, atom in zip(args, equation.invars, strict=True)]

        def bind(*args: jax.Array) -> list[jax.Array]:
            out = equation.primitive.bind(*args, **equation.params)
            return list(out) if equation.primitive.multiple_results else [out]

        return [_split(x) for x in jax.vmap(bind, -1, -1)(*joined)]

    def _of_lanes(self, x: Any, dtype: Any) -> jax.Array:
        x = jnp.asarray(x, dtype)
        return x if x.ndim else jax.lax.broadcast(x, (self.lanes,))


def _split(x: jax.Array) -> _Elements:
    """The elements of ``[*component, lanes]``, numbers where all lanes share them."""
    rows = x.reshape(-1, x.shape[-1])
    elements = (rows[i, 0] if x.shape[-1] == 1 else rows[i] for i in range(len(rows)))
    return _filled(x.shape[:-1], elements)


def _constants(x: Any) -> _Elements:
    """The elements of a constant."""
    x = np.asarray(x)
    return _filled(x.shape, (one for one in x.reshape(-1)))


def _filled(shape: tuple[int, ...], elements: Any) -> _Elements:
    out = np.empty(math.prod(shape), object)
    for i, x in zip(range(out.size), elements, strict=True):
        out[i] = x
    return out.reshape(shape)


def _is_constant(x: Any) -> bool:
    return isinstance(x, (np.generic, bool, int, float))


def _varies(x: _Elements) -> bool:
    """Whether lanes have elements of their own."""
    return any(np.ndim(one) for one in x.reshape(-1))

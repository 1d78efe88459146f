"""Programs of one lane written out: every element of their arrays is an array of lanes by itself.

What moves elements about is done while tracing, on arrays of objects, and costs nothing. What lanes share are
numbers, and what is constant stays so.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from anmjax.lanes.moves import MOVES

_Out = TypeVar("_Out")
# An array of objects: arrays of lanes, numbers that all lanes share, and constants.
Elements = np.ndarray

CALLED = ("jaxpr", "call_jaxpr", "call")  # parameters that hold what an operation calls
_CALLS = {"pjit", "jit", "closed_call", "custom_jvp_call", "custom_vmap_call"}
_REDUCTIONS = {
    "reduce_and": jax.lax.bitwise_and,
    "reduce_max": jax.lax.max,
    "reduce_min": jax.lax.min,
    "reduce_or": jax.lax.bitwise_or,
    "reduce_sum": jax.lax.add,
}
_ELEMENTWISE = {
    *("abs", "add", "and", "clamp", "complex", "convert_element_type", "cos", "div", "eq", "exp", "floor"),
    *("ge", "gt", "imag", "integer_pow", "is_finite", "le", "log", "lt", "max", "min", "mul", "ne", "neg"),
    *("not", "or", "pow", "real", "rem", "round", "rsqrt", "select_n", "sign", "sin", "sqrt", "square"),
    *("sub", "tanh"),
}
# The platform, by name, of programs that a kernel holds.
KERNEL = "lane_kernel"


def in_kernel(inside: Callable[..., _Out], outside: Callable[..., _Out]) -> Callable[..., _Out]:
    """One of two functions with the same results, ``inside`` where a kernel holds the program of a lane."""
    return lambda *args: jax.lax.platform_dependent(*args, default=outside, **{KERNEL: inside})


class Written:
    """Programs that are written out."""

    platform: str | None = None  # that they are written for; None: any that is not named

    def __init__(self, lanes: tuple[int, ...]) -> None:
        """For arrays of ``lanes`` of this shape."""
        self.lanes = lanes

    def evaluate(self, closed: Any, args: Sequence[Elements]) -> list[Elements]:
        """The results of a program of one lane."""
        jaxpr = closed.jaxpr
        known: dict[Any, Elements] = dict(zip(jaxpr.invars, args, strict=True))
        known |= {var: _constants(x) for var, x in zip(jaxpr.constvars, closed.consts, strict=True)}

        def read(atom: Any) -> Elements:
            return _constants(atom.val) if isinstance(atom, core.Literal) else known[atom]

        for equation in jaxpr.eqns:
            out = self._apply(equation, [read(atom) for atom in equation.invars])
            known |= dict(zip(equation.outvars, out, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def join(self, x: Elements, dtype: Any) -> jax.Array:
        """The array of some elements, ``[*component, lanes]``."""
        return _joined(
            filled(x.shape, (self.of_lanes(one, dtype) for one in x.reshape(-1))), dtype, self.lanes
        )

    def flat(self, avals: Sequence[Any], arrays: Sequence[Elements], own: bool = True) -> list[jax.Array]:
        """The elements of some arrays, one after the other; lanes have their ``own``, but of counters."""
        counts = [not own or (np.issubdtype(aval.dtype, np.integer) and not aval.shape) for aval in avals]
        return [
            jnp.asarray(x, aval.dtype) if count and not np.ndim(x) else self.of_lanes(x, aval.dtype)
            for array, aval, count in zip(arrays, avals, counts, strict=True)
            for x in array.reshape(-1)
        ]

    def _apply(self, equation: Any, args: list[Elements]) -> Sequence[Elements]:
        name, params = equation.primitive.name, equation.params
        if name in MOVES:
            try:
                out = MOVES[name](*args, **params)
            except NotImplementedError:
                return self._whole(equation, args)
            return out if isinstance(out, list) else [out]
        if name in _CALLS:
            return self.evaluate(next(params[key] for key in CALLED if key in params), args)
        if name == "platform_index":
            named = [names is None or self.platform in names for names in params["platforms"]]
            return [_constants(np.int32([*named, True].index(True)))]
        if name == "cond" and not varies(args[0]):
            return self._choose(params["branches"], args[0][()], args[1:])
        if name == "scan" and sum(_shared_and_handed_on(params)) == len(args):
            return self._repeat(params, args)
        if name in _REDUCTIONS:
            return [self._reduce(equation, args[0])]
        if name in _ELEMENTWISE:
            shape = equation.outvars[0].aval.shape
            rows = [np.broadcast_to(x, shape).reshape(-1) for x in args]
            elements = (self._of_elements(equation, own) for own in zip(*rows, strict=True))
            return [filled(shape, elements)]
        return self._whole(equation, args)

    def _of_elements(self, equation: Any, elements: Sequence[Any]) -> Any:
        """An operation on an element of each argument."""
        if equation.primitive.name == "select_n" and _is_constant(elements[0]):
            return elements[1 + int(elements[0])]
        if equation.primitive.name == "convert_element_type" and _is_constant(elements[0]):
            return np.dtype(equation.params["new_dtype"]).type(elements[0])
        dtypes = [atom.aval.dtype for atom in equation.invars]
        if any(np.ndim(x) for x in elements):
            own = [self.of_lanes(x, dtype) for x, dtype in zip(elements, dtypes, strict=True)]
        else:
            own = [jnp.asarray(x, dtype) for x, dtype in zip(elements, dtypes, strict=True)]
        return equation.primitive.bind(*own, **equation.params)

    def _choose(self, branches: Sequence[Any], index: Any, args: list[Elements]) -> Sequence[Elements]:
        """One of several programs, the same for all lanes; the compiler may know which."""
        if _is_constant(index):
            return self.evaluate(branches[min(max(int(index), 0), len(branches) - 1)], args)
        avals = branches[0].out_avals
        own = any(varies(x) for x in args)

        def written(branch: Any) -> Callable[[], list[jax.Array]]:
            return lambda: self.flat(avals, self.evaluate(branch, args), own)

        chosen = jax.lax.switch(index.astype(np.int32), [written(one) for one in branches])
        return parts_of(avals, chosen)

    def _repeat(self, params: Any, args: list[Elements]) -> list[Elements]:
        """A loop of so many turns; all that it hands on has lanes from its start, but for counters."""
        body, (num_consts, _) = params["jaxpr"], _shared_and_handed_on(params)
        consts, begin, avals = args[:num_consts], args[num_consts:], body.in_avals[num_consts:]
        own = any(varies(x) for x in args)

        def turn(_: int, carry: list[jax.Array]) -> list[jax.Array]:
            return self.flat(avals, self.evaluate(body, [*consts, *parts_of(avals, carry)]), own)

        start = self.flat(avals, begin, own)
        return parts_of(avals, jax.lax.fori_loop(np.int32(0), np.int32(params["length"]), turn, start))

    def _reduce(self, equation: Any, x: Elements) -> Elements:
        combine, axes = _REDUCTIONS[equation.primitive.name], equation.params["axes"]
        kept = [i for i in range(x.ndim) if i not in axes]
        rows = x.transpose(*kept, *axes).reshape(*(x.shape[i] for i in kept), -1)

        def both(a: Any, b: Any) -> jax.Array:
            return combine(*jnp.broadcast_arrays(a, b))

        lists = rows.reshape(-1, rows.shape[-1])
        return filled(rows.shape[:-1], (functools.reduce(both, row) for row in lists))

    def _whole(self, equation: Any, args: list[Elements]) -> list[Elements]:
        """Whatever else there is, on arrays."""
        dtypes = [atom.aval.dtype for atom in equation.invars]

        def bind(*args: jax.Array) -> list[jax.Array]:
            out = equation.primitive.bind(*args, **equation.params)
            return list(out) if equation.primitive.multiple_results else [out]

        if not any(varies(x) for x in args):
            shared = [_joined(x, dtype) for x, dtype in zip(args, dtypes, strict=True)]
            return [split(x[..., None]) for x in bind(*shared)]
        joined = [self.join(x, dtype).reshape(*x.shape, -1) for x, dtype in zip(args, dtypes, strict=True)]
        out = jax.vmap(bind, -1, -1)(*joined)
        return [
            filled(x.shape[:-1], (own.reshape(self.lanes) for own in x.reshape(-1, x.shape[-1]))) for x in out
        ]

    def of_lanes(self, x: Any, dtype: Any) -> jax.Array:
        """An element as every lane has it."""
        x = jnp.asarray(x, dtype)
        return x if x.ndim else jax.lax.broadcast(x, self.lanes)


def parts_of(avals: Sequence[Any], elements: Iterable[Any]) -> list[Elements]:
    """The arrays whose elements follow one after the other."""
    left = iter(elements)
    return [filled(aval.shape, itertools.islice(left, math.prod(aval.shape))) for aval in avals]


def _joined(x: Elements, dtype: Any, lanes: tuple[int, ...] = ()) -> jax.Array:
    """The array of elements that are arrays of ``lanes``, or numbers."""
    if not x.size:
        return jnp.zeros((*x.shape, *lanes), dtype)
    return jnp.stack([jnp.asarray(one, dtype) for one in x.reshape(-1)]).reshape(*x.shape, *lanes)


def split(x: jax.Array) -> Elements:
    """The elements of ``[*component, lanes]``, numbers where all lanes share them."""
    rows = x.reshape(-1, x.shape[-1])
    elements = (rows[i, 0] if x.shape[-1] == 1 else rows[i] for i in range(len(rows)))
    return filled(x.shape[:-1], elements)


def _constants(x: Any) -> Elements:
    """The elements of a constant."""
    x = np.asarray(x)
    return filled(x.shape, (one for one in x.reshape(-1)))


def filled(shape: tuple[int, ...], elements: Any) -> Elements:
    """An array of objects, row by row."""
    out = np.empty(math.prod(shape), object)
    for i, x in zip(range(out.size), elements, strict=True):
        out[i] = x
    return out.reshape(shape)


def _is_constant(x: Any) -> bool:
    return isinstance(x, (np.generic, bool, int, float))


def varies(x: Elements) -> bool:
    """Whether lanes have elements of their own."""
    return any(np.ndim(one) for one in x.reshape(-1))


def _shared_and_handed_on(params: Any) -> tuple[int, int]:
    """Arguments of a scan that all turns share, and those that one hands on to the next."""
    if "ft_in" in params:  # from jax 0.11 on
        shared, handed_on, _ = params["ft_in"].unpack()
        return len(list(shared)), len(list(handed_on))
    return params["num_consts"], params["num_carry"]

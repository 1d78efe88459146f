"""Bytes that kernels with loops over rows move, counted by going through their loops.

XLA's text shows of such a kernel what goes in and out, and not how often its loops load and store. So it is
traced once more, and gone through with the tables of indices that it is given: every load and store of lanes
counts, caches or not, and nothing is calculated but the numbers that loops and indices are made of. Of a loop
that ends by the lanes' data someone else has to say how often it turns.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

_CALLED = ("jaxpr", "call_jaxpr")
_OF_NUMBERS: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "convert_element_type": lambda x: x,
    "gt": operator.gt,
    "lt": operator.lt,
    "mul": operator.mul,
    "sub": operator.sub,
}
_LOADS, _STORES = ("get", "masked_load"), ("swap", "masked_swap")


class Moved(NamedTuple):
    """Bytes that a kernel loads and stores for all lanes together."""

    once: float  # but for the loop that ends by the data
    turn: float  # of that loop, without what stands under a condition
    condition: float  # what stands there

    def total(self, turns: float) -> float:
        """Bytes where the loop by data turns so often, and the condition holds in all turns but the last."""
        return self.once + turns * self.turn + (turns - 1) * self.condition


def moved_by_kernels(function: Callable[..., Any], arguments: Sequence[Any]) -> dict[str, Moved]:
    """What the kernels of a program move that loop over rows, by name."""
    found: dict[str, Moved] = {}
    for equation in _equations(jax.make_jaxpr(function)(*arguments).jaxpr):
        if equation.primitive.name == "on_gpu":
            shapes = [jax.ShapeDtypeStruct(var.aval.shape, var.aval.dtype) for var in equation.invars]
            made = jax.make_jaxpr(equation.params["kernel"])(*shapes)
            found |= _kernels(made.jaxpr, dict(zip(made.jaxpr.constvars, made.consts, strict=True)))
    return found


def _equations(jaxpr: Any) -> Iterator[Any]:
    """All equations of a program, those of the programs in it included."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in _inner(equation):
            yield from _equations(inner)


def _inner(equation: Any) -> Iterator[Any]:
    for part in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda x: hasattr(x, "jaxpr")):
        part = getattr(part, "jaxpr", part)
        if hasattr(part, "eqns"):
            yield part


def _kernels(jaxpr: Any, known: dict[Any, Any]) -> dict[str, Moved]:
    """The kernels of a program of which some variables are known."""
    found: dict[str, Moved] = {}
    for equation in jaxpr.eqns:
        values = [_value(known, atom) for atom in equation.invars]
        if equation.primitive.name == "pallas_call":
            blocks = math.prod(equation.params["grid_mapping"].grid)
            outputs = len(equation.params["jaxpr"].invars) - len(values)
            walk = _Walk(blocks)
            walk.run(equation.params["jaxpr"], [*map(_table, values), *[None] * outputs])
            found[equation.params["name"]] = Moved(*walk.bytes)
        for inner in _inner(equation) if equation.primitive.name in ("jit", "pjit") else ():
            found |= _kernels(inner, dict(zip(inner.invars, values, strict=True)))
    return found


def _table(x: Any) -> np.ndarray | None:
    """A table of indices; None: other arrays."""
    return np.asarray(x) if x is not None and np.issubdtype(x.dtype, np.integer) else None


def _value(known: dict[Any, Any], atom: Any) -> Any:
    return atom.val if hasattr(atom, "val") else known.get(atom)


class _Walk:
    """Goes through a kernel; numbers that are not known are None."""

    def __init__(self, blocks: int) -> None:
        self.blocks = blocks
        self.bytes = [0.0, 0.0, 0.0]  # as of ``Moved``
        self.where = 0

    def run(self, jaxpr: Any, args: Sequence[Any]) -> list[Any]:
        """The results of a program, as far as they are known."""
        jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
        known = dict(zip(jaxpr.invars, args, strict=True))
        for equation in jaxpr.eqns:
            values = [_value(known, atom) for atom in equation.invars]
            out = self._apply(equation, values)
            known |= dict(zip(equation.outvars, out or [None] * len(equation.outvars), strict=True))
        return [_value(known, atom) for atom in jaxpr.outvars]

    def _apply(self, equation: Any, values: list[Any]) -> list[Any] | None:
        name, params = equation.primitive.name, equation.params
        if name in _LOADS or name in _STORES:
            return self._move(equation, values)
        if name == "scan":
            return self._scan(params, values)
        if name == "while":
            return self._while(params, values)
        if name == "cond":
            if values[0] is not None:
                return self.run(params["branches"][int(values[0])], values[1:])
            return self._apart(2, lambda: self.run(params["branches"][-1], values[1:]))
        if called := [params[key] for key in _CALLED if key in params]:
            return self.run(called[0], values)
        if name in _OF_NUMBERS and all(x is not None and not np.ndim(x) for x in values):
            return [_OF_NUMBERS[name](*values)]
        return None

    def _move(self, equation: Any, values: list[Any]) -> list[Any] | None:
        """A load or a store of lanes, or a load of a number from a table."""
        aval = equation.outvars[0].aval
        self.bytes[self.where] += self.blocks * math.prod(aval.shape) * aval.dtype.itemsize * bool(aval.shape)
        table, *index = values
        if table is None or aval.shape:
            return None
        return [table[tuple(index)]] if all(i is not None for i in index) else None

    def _scan(self, params: Any, values: list[Any]) -> list[Any]:
        consts, carry = values[: params["num_consts"]], values[params["num_consts"] :]
        for _ in range(params["length"]):
            carry = self.run(params["jaxpr"], [*consts, *carry])
        return carry

    def _while(self, params: Any, values: list[Any]) -> list[Any]:
        ends = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
        of_condition, consts, carry = values[: ends[0]], values[ends[0] : ends[1]], values[ends[1] :]

        def turn(walk: _Walk, carry: list[Any]) -> tuple[list[Any], Any]:
            after = walk.run(params["body_jaxpr"], [*consts, *carry])
            return after, walk.run(params["cond_jaxpr"], [*of_condition, *after])[0]

        goes_on = self.run(params["cond_jaxpr"], [*of_condition, *carry])[0]
        if goes_on and not self.where:
            aside = _Walk(0)
            aside.where = 1
            if turn(aside, carry)[1] is None:
                return self._apart(1, lambda: turn(self, [None] * len(carry))[0])
        while goes_on:
            carry, goes_on = turn(self, carry)
        assert goes_on is not None, "a loop by data in another"
        return carry

    def _apart(self, where: int, run: Callable[[], list[Any]]) -> list[Any]:
        before, self.where = self.where, where
        assert before == where - 1, "a condition by data outside of a loop by data"
        out = run()
        self.where = before
        return out

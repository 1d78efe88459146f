"""Functions of small arrays, evaluated with every element an array of lanes by itself.

A row of equations or a level of an elimination is then no array that one kernel writes and the next gathers
from, but so many names: what moves elements about costs nothing, and a GPU's compiler fuses the arithmetic of
hundreds of operations into few kernels that keep it in registers, or one kernel holds all of it, see
``lane_kernel``. The program grows with the number of elements: for small ones alone.

It is written out while a program is lowered, for the platforms alone that take it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, TypeVar

import jax
from jax.extend import core
from jax.interpreters import mlir

from anmjax.lanes.moves import MOVES
from anmjax.lanes.schedule import AllAtOnce
from anmjax.lanes.written import CALLED, Written, split

_Out = TypeVar("_Out")


def by_element(fn: Callable[..., _Out], schedule: AllAtOnce) -> Callable[..., _Out]:
    """``fn``, which takes arrays ``[*component, lanes]``, evaluated element by element.

    Args:
      fn: function of arrays ``[*component, lanes]``, or ``[*component]`` of one lane. An axis of lanes of
        size one means that an argument is shared by all lanes.
      schedule: it says how many operations on elements are too many, and whether a kernel may hold them.
    """

    def run(*args: Any) -> _Out:
        one = jax.make_jaxpr(fn)(*jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[:-1], x.dtype), args))
        whole, shapes = jax.make_jaxpr(fn, return_shape=True)(*args)
        if any(isinstance(x, jax.core.Tracer) for x in (*one.consts, *whole.consts)):
            return fn(*args)
        out = _by_element.bind(*jax.tree.leaves(args), one=one, whole=whole, schedule=schedule)
        return jax.tree.unflatten(jax.tree.structure(shapes), out)

    return run


_by_element = core.Primitive("by_element")
_by_element.multiple_results = True
_by_element.def_abstract_eval(lambda *_, whole, **__: whole.out_avals)
_by_element.def_impl(lambda *args, **params: jax.jit(functools.partial(_by_element.bind, **params))(*args))


def _lower(
    ctx: Any, *args: Any, one: Any, whole: Any, schedule: AllAtOnce, kernels: str | None = None
) -> Any:
    """Lowers a program, for a platform whose ``kernels`` may hold it; None: it has none."""
    if operations(one.jaxpr) > schedule.most_operations:
        return mlir.lower_fun(core.jaxpr_as_fun(whole), multiple_results=True)(ctx, *args)
    # Inside ``jax.shard_map`` this is one device's own: no element varies over the mesh any more.
    here = [jax.core.ShapedArray(aval.shape, aval.dtype) for aval in ctx.avals_in]
    held, kernels = None, schedule.interpreted or kernels
    if schedule.in_kernel and kernels:
        from anmjax.lanes.lane_kernel import lane_kernel  # Pallas takes most of a second to import

        held = lane_kernel(one, here, kernels, interpreted=schedule.interpreted is not None)
    run = held or functools.partial(_written_out, one)

    def results(*args: jax.Array) -> list[jax.Array]:
        """Of what lanes share as little as of whole arrays."""
        return [y[..., : aval.shape[-1]] for y, aval in zip(run(*args), whole.out_avals, strict=True)]

    return mlir.lower_fun(results, multiple_results=True)(ctx.replace(avals_in=here), *args)


mlir.register_lowering(_by_element, _lower)
for _platform in ("cuda", "tpu"):
    mlir.register_lowering(_by_element, functools.partial(_lower, kernels=_platform), platform=_platform)


def operations(jaxpr: core.Jaxpr) -> int:
    """Operations on elements in a program: of a loop those of one turn, of a choice the fewest.

    Of what depends on the platform, those for the platforms that are not named.
    """
    total = 0
    platform = {id(e.outvars[0]) for e in jaxpr.eqns if e.primitive.name == "platform_index"}
    for equation in jaxpr.eqns:
        inner = [equation.params[name] for name in CALLED if name in equation.params]
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


def _written_out(one: Any, *args: jax.Array) -> list[jax.Array]:
    """The program ``one`` of a lane, for arrays with an axis of lanes."""
    written = Written((max(x.shape[-1] for x in args),))
    out = written.evaluate(one, [split(x) for x in args])
    return [written.join(x, aval.dtype) for x, aval in zip(out, one.out_avals, strict=True)]

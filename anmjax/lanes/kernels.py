"""Where a CPU's compiler begins and ends a kernel; other platforms decide for themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
from jax.experimental.xla_metadata import set_xla_metadata

from anmjax.lanes.varying import as_varying

_Out = TypeVar("_Out")


def evaluated(fn: Callable[..., _Out]) -> Callable[..., _Out]:
    """``fn`` whose result is evaluated once and stored, on a CPU.

    XLA's CPU backend fuses gathers and cheap arithmetic into each of their readers and evaluates them
    again for every element that is read, up to fifteen times over. A function call that it may not inline
    ends the fusion. GPUs have a cost model for this and are left alone.
    """
    return _called(fn, inlineable="false")


def one_kernel(fn: Callable[..., _Out]) -> Callable[..., _Out]:
    """``fn`` compiled to one kernel, loops and all, on a CPU.

    XLA's CPU backend starts a kernel for every operation of a loop's body, at some tenths of a microsecond
    each. A function call that it may not inline and marks as small, as it does itself with small loops
    (``small_while_loop_hoisting_pass.h``), becomes machine code without them. For loops over slices and
    arithmetic alone: what they work on is better made outside, where kernels are vectorised.
    """

    def of_variables(*args: Any) -> _Out:
        # XLA aborts where a small call reads a constant beside other arrays.
        # Loops begin with one argument and go on with all: each varies over the axes that any does.
        return call(*jax.lax.optimization_barrier(as_varying(args, args)))

    call = _called(fn, inlineable="false", xla_cpu_small_call="true")
    return of_variables


def _called(fn: Callable[..., _Out], **attributes: str) -> Callable[..., _Out]:
    """``fn`` as a function call with attributes, on a CPU."""

    def call(*args: Any) -> _Out:
        with set_xla_metadata(**attributes):
            return jax.jit(fn)(*args)

    def run(*args: Any) -> _Out:
        return jax.lax.platform_dependent(*args, cpu=call, default=fn)

    return run

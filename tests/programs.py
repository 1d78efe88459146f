"""What a traced program is made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax


def operations(program: Any) -> Iterator[Any]:
    """Every equation of a program, those within loops, branches and calls among them.

    Args:
      program: what ``jax.make_jaxpr`` returns, or a part of it.
    """
    for equation in getattr(program, "jaxpr", program).eqns:
        yield equation
        inner = jax.tree.leaves(list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns"))
        for value in inner:
            if hasattr(value, "eqns"):
                yield from operations(value)

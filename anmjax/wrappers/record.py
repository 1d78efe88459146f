"""record: a flax dataclass whose constructor may check and convert, as unflattening goes past it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar, dataclass_transform

import jax
from flax import serialization, struct

_Class = TypeVar("_Class", bound=type)


@dataclass_transform(frozen_default=True, field_specifiers=(struct.field,))
def record(**options: Any) -> Callable[[_Class], _Class]:
    """Decorates a class as ``flax.struct.dataclass`` does, but for what unflattening does.

    There leaves may be anything: axes, names, shardings, whatever ``jax.tree.map`` or a checkpointer puts in
    place of numbers. They are set as they are, without a call of the constructor, whose checks are for users.

    Args:
      **options: of ``dataclasses.dataclass``.
    """

    def decorate(cls: _Class) -> _Class:
        made: Any = dataclasses.dataclass(frozen=True, **options)(cls)
        fields = dataclasses.fields(made)
        leaves = [field.name for field in fields if field.metadata.get("pytree_node", True)]
        static = [field.name for field in fields if field.name not in leaves]

        def flatten(obj: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
            keyed = ((jax.tree_util.GetAttrKey(name), getattr(obj, name)) for name in leaves)
            return tuple(keyed), tuple(getattr(obj, name) for name in static)

        def unflatten(aux: tuple[Any, ...], children: Any) -> Any:
            obj = object.__new__(made)
            obj.__dict__.update(zip(static, aux, strict=True))
            obj.__dict__.update(zip(leaves, children, strict=True))
            return obj

        def to_state_dict(obj: Any) -> dict[str, Any]:
            return {name: serialization.to_state_dict(getattr(obj, name)) for name in leaves}

        def from_state_dict(obj: Any, state: dict[str, Any]) -> Any:
            return obj.replace(
                **{
                    name: serialization.from_state_dict(getattr(obj, name), state[name], name)
                    for name in leaves
                }
            )

        made.replace = dataclasses.replace
        jax.tree_util.register_pytree_with_keys(made, flatten, unflatten)
        serialization.register_serialization_state(made, to_state_dict, from_state_dict)
        return made

    return decorate

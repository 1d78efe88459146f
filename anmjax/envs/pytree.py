"""PyTree: the one way in which objects of this package, and those derived from them, are JAX pytrees."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, ClassVar, TypeVar, dataclass_transform

import jax
import numpy as np
from flax import serialization, struct

_Self = TypeVar("_Self", bound="PyTree")
_CHILDREN = "_children"  # attribute of copies: the names of those that were children of the original


class PyTree:
    """Base of classes whose instances are pytrees; subclasses are registered as they are defined.

    - A field that the class declares, as a dataclass, is a child whatever it holds, unless it is declared
      static: ``flax.struct.field(pytree_node=False)``.
    - Any other attribute is a child if it is an array, or a container or record with an array in it, and
      static otherwise. A child stays one whatever a transformation puts in its place, so that
      ``jax.tree.map(lambda _: None, env)`` is a tree of axes.

    What is static must be hashable. Unflattening calls no constructor, whose checks are for users: in place
    of numbers ``jax.tree.map`` and checkpointers put axes, names, shardings, anything at all. Instances
    are not to be modified once built: use ``replace``.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Registers the subclass with JAX, and its children with flax as a state dict."""
        super().__init_subclass__(**kwargs)
        jax.tree_util.register_pytree_with_keys(
            cls, _flatten_with_keys, lambda aux, children: _unflatten(cls, aux, children)
        )
        serialization.register_serialization_state(cls, _to_state_dict, _from_state_dict)

    def replace(self: _Self, **changes: Any) -> _Self:
        """A copy with some attributes changed.

        Raises:
          ValueError: there is no such attribute, or the constructor of declared fields refuses its value.
        """
        cls: Any = type(self)
        unknown = sorted(changes.keys() - (_declared(cls) or _attributes(self)).keys())
        if unknown:
            raise ValueError(f"{type(self).__name__} has no attribute {unknown[0]!r} to replace")
        if dataclasses.is_dataclass(self):
            return dataclasses.replace(self, **changes)  # by the constructor, with its checks
        copy = object.__new__(type(self))
        copy.__dict__.update({**vars(self), **changes, _CHILDREN: _children(self)})
        return copy


def _is_child(value: Any) -> bool:
    return any(isinstance(x, (np.ndarray, np.generic, jax.Array)) for x in jax.tree.leaves(value))


@functools.cache
def _declared(cls: Any) -> dict[str, bool]:
    """The declared fields of a class, in order: whether each is a child."""
    fields = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
    return {field.name: field.metadata.get("pytree_node", True) for field in fields}


def _attributes(obj: Any) -> dict[str, bool]:
    """All attributes, the declared ones in order, then the others by name: whether each is a child."""
    cls: Any = type(obj)
    declared, values = _declared(cls), vars(obj)
    known = values.get(_CHILDREN, ())
    others = sorted(values.keys() - declared.keys() - {_CHILDREN})
    return {**declared, **{name: name in known or _is_child(values[name]) for name in others}}


def _children(obj: Any) -> tuple[str, ...]:
    return tuple(name for name, is_child in _attributes(obj).items() if is_child)


def _flatten_with_keys(obj: Any) -> tuple[list[tuple[Any, Any]], tuple[tuple[str, ...], tuple[Any, ...]]]:
    attributes = _attributes(obj)
    children = tuple(name for name, is_child in attributes.items() if is_child)
    static = tuple((name, getattr(obj, name)) for name, is_child in attributes.items() if not is_child)
    return [(jax.tree_util.GetAttrKey(name), getattr(obj, name)) for name in children], (children, static)


def _unflatten(cls: type[_Self], aux: tuple[tuple[str, ...], tuple[Any, ...]], children: Any) -> _Self:
    obj = object.__new__(cls)
    names, static = aux
    obj.__dict__.update(static)
    obj.__dict__.update(zip(names, children, strict=True))
    obj.__dict__[_CHILDREN] = names
    return obj


def _to_state_dict(obj: PyTree) -> dict[str, Any]:
    return {name: serialization.to_state_dict(getattr(obj, name)) for name in _children(obj)}


def _from_state_dict(obj: PyTree, state: dict[str, Any]) -> PyTree:
    restored = {
        name: serialization.from_state_dict(getattr(obj, name), state[name], name) for name in _children(obj)
    }
    return obj.replace(**restored)


@dataclass_transform(frozen_default=True, field_specifiers=(struct.field,))
class Record(PyTree):
    """A pytree that declares its fields: every subclass is a frozen dataclass, without a decorator.

    A class may write a constructor of its own, which sets the fields by ``object.__setattr__``.
    """

    _flax_dataclass: ClassVar[bool]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Makes a dataclass of the subclass."""
        super().__init_subclass__(**kwargs)
        dataclasses.dataclass(frozen=True, init="__init__" not in vars(cls))(cls)
        cls._flax_dataclass = True  # so that flax.struct.dataclass, should someone add it, changes nothing

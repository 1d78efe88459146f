"""Objects as pytrees: attributes holding arrays are leaves, everything else is static."""

from __future__ import annotations

from typing import Any, TypeVar

import jax
import numpy as np

_Self = TypeVar("_Self", bound="PyTree")
_CHILDREN = "_children"  # attribute of copies: the names of those that were children of the original


class PyTree:
    """Base of classes whose instances are pytrees; subclasses are registered as they are defined.

    An attribute that is an array, or a container or record with an array in it, is a child; any other
    attribute is static and must be hashable. A child stays one whatever a transformation puts in its
    place, so that ``jax.tree.map(lambda _: None, env)`` is a tree of axes. Instances are not to be
    modified once built: use ``replace``.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Registers the subclass with JAX."""
        super().__init_subclass__(**kwargs)
        jax.tree_util.register_pytree_with_keys(
            cls, _flatten_with_keys, lambda aux, children: _unflatten(cls, aux, children)
        )

    def replace(self: _Self, **changes: Any) -> _Self:
        """A copy with some attributes changed."""
        unknown = sorted(set(changes) - set(_attributes(self)))
        if unknown:
            raise ValueError(f"{type(self).__name__} has no attribute {unknown[0]!r} to replace")
        copy = object.__new__(type(self))
        copy.__dict__.update({**vars(self), **changes, _CHILDREN: tuple(_children(self))})
        return copy


def _is_child(value: Any) -> bool:
    return any(isinstance(x, (np.ndarray, np.generic, jax.Array)) for x in jax.tree.leaves(value))


def _attributes(obj: PyTree) -> list[str]:
    return sorted(set(vars(obj)) - {_CHILDREN})


def _children(obj: PyTree) -> list[str]:
    values, known = vars(obj), vars(obj).get(_CHILDREN, ())
    return [name for name in _attributes(obj) if name in known or _is_child(values[name])]


def _flatten_with_keys(obj: PyTree) -> tuple[list[tuple[Any, Any]], tuple[tuple[str, ...], tuple[Any, ...]]]:
    children = _children(obj)
    static = tuple((name, vars(obj)[name]) for name in _attributes(obj) if name not in children)
    keyed = [(jax.tree_util.GetAttrKey(name), vars(obj)[name]) for name in children]
    return keyed, (tuple(children), static)


def _unflatten(cls: type[_Self], aux: tuple[tuple[str, ...], tuple[Any, ...]], children: Any) -> _Self:
    obj = object.__new__(cls)
    names, static = aux
    obj.__dict__.update(static)
    obj.__dict__.update(zip(names, children, strict=True))
    obj.__dict__[_CHILDREN] = names
    return obj

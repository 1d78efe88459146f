"""Operations that move elements about and compute nothing, on NumPy arrays of any objects.

By the name of the primitive, with its parameters. What they cannot do, an index that is no constant among it,
raises ``NotImplementedError``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def _broadcast(x: np.ndarray, *, shape: Any, broadcast_dimensions: Any, **_: Any) -> np.ndarray:
    sizes = [1] * len(shape)
    for size, axis in zip(x.shape, broadcast_dimensions, strict=True):
        sizes[axis] = size
    return np.broadcast_to(x.reshape(sizes), shape)


def _gather(x: np.ndarray, index: np.ndarray, *, dimension_numbers: Any, slice_sizes: Any, **_: Any) -> Any:
    """Whole rows along one axis, by a list of them, as ``take`` does it."""
    axes = dimension_numbers.start_index_map
    others = tuple(i for i in range(x.ndim) if i not in axes)
    sizes = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    whole = tuple(slice_sizes) == sizes and dimension_numbers.collapsed_slice_dims == axes
    if len(axes) != 1 or index.ndim != 2 or not whole or dimension_numbers.offset_dims != others:
        raise NotImplementedError(f"a gather of {slice_sizes} from {x.shape}")
    rows = np.array([_integer(i) for i in index[:, 0]], int)
    return np.take(x, np.clip(rows, 0, x.shape[axes[0]] - 1), axes[0])


def _pad(x: np.ndarray, value: np.ndarray, *, padding_config: Any) -> np.ndarray:
    lows, highs, inner = zip(*padding_config, strict=True)
    if min(*lows, *highs) < 0 or any(inner):
        raise NotImplementedError(f"padding of {padding_config}")
    sizes = [low + n + high for n, low, high in zip(x.shape, lows, highs, strict=True)]
    out = np.broadcast_to(value, sizes).copy()
    out[tuple(slice(low, low + n) for n, low in zip(x.shape, lows, strict=True))] = x
    return out


def _place(x: np.ndarray, own: np.ndarray, *start: np.ndarray, **_: Any) -> np.ndarray:
    out = x.copy()
    most = [n - k for n, k in zip(x.shape, own.shape, strict=True)]
    first = [min(max(_integer(i[()]), 0), last) for i, last in zip(start, most, strict=True)]
    out[tuple(slice(i, i + k) for i, k in zip(first, own.shape, strict=True))] = own
    return out


def _integer(x: Any) -> int:
    if not isinstance(x, (np.generic, int)):
        raise NotImplementedError("an index that is not constant")
    return int(x)


def _slice(x: np.ndarray, *, start_indices: Any, limit_indices: Any, strides: Any) -> np.ndarray:
    return x[tuple(map(slice, start_indices, limit_indices, strides or [1] * x.ndim))]


MOVES: dict[str, Callable[..., Any]] = {
    "broadcast_in_dim": _broadcast,
    "concatenate": lambda *xs, dimension: np.concatenate(xs, dimension),
    "copy": lambda x: x,
    "copy_p": lambda x: x,
    "dynamic_update_slice": _place,
    "gather": _gather,
    "optimization_barrier": lambda *xs: list(xs),
    "pad": _pad,
    "reshard": lambda x, **_: x,
    "reshape": lambda x, *, new_sizes, **_: x.reshape(new_sizes),
    "rev": lambda x, *, dimensions: np.flip(x, dimensions),
    "slice": _slice,
    "split": lambda x, *, sizes, axis: np.split(x, np.cumsum(sizes)[:-1], axis),
    "squeeze": lambda x, *, dimensions: x.squeeze(tuple(dimensions)),
    "stack": lambda *xs, axis, **_: np.stack(xs, axis),
    "stop_gradient": lambda x: x,
    "transpose": lambda x, *, permutation: x.transpose(permutation),
}

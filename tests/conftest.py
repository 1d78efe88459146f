"""Strict numerics for every test: float64, no silent promotion of ranks or dtypes."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

# Parallel pytest processes share the cores evenly; JAX and BLAS read these when they start.
threads = max(1, (os.cpu_count() or 1) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
for variable in ("NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, str(threads))

# Commands keep no programs in the user's folder, and find none there.
os.environ.setdefault("JAX_ENABLE_COMPILATION_CACHE", "false")

import jax  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


def pytest_configure(config: pytest.Config) -> None:
    """Most tests run for moments: they compile quickly; slow ones and pages as users' programs do.

    Collections of garbage, which go over all that JAX remembers of programs, are few.
    """
    gc.set_threshold(200_000, 20, 20)
    if "not slow" in config.option.markexpr or config.option.markexpr == "long":
        os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # of the processes that tests start
        jax.config.update("jax_disable_most_optimizations", True)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Machines with a GPU may lack the packages that other tests compare with, and import."""
    if config.option.markexpr == "gpu" and collection_path.suffix == ".py":
        return "mark.gpu" not in collection_path.read_text(encoding="utf-8")
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is slow, by a parameter say, is not long as well."""
    for item in items:
        if item.get_closest_marker("slow"):
            # Its own: those of a module are of its other tests, too.
            item.own_markers[:] = [mark for mark in item.own_markers if mark.name != "long"]


@pytest.fixture
def standard_promotion() -> Iterator[None]:
    """For tests that run an optax optimizer: Adam's bias correction raises a float to an integer count."""
    with jax.numpy_dtype_promotion("standard"):
        yield

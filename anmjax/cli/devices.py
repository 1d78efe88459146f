"""The JAX devices that a command runs on."""

from __future__ import annotations

import os

import jax

from anmjax.cli.errors import CommandError


def use_devices(count: int | None) -> None:
    """Makes so many JAX devices of the CPU, or one a core; other devices are left as they are.

    Without effect where XLA_FLAGS already says how many.

    Raises:
      CommandError: less than one is asked for, or another number than JAX has started with.
    """
    if count is not None and count < 1:
        raise CommandError(f"--devices is {count}, but must be at least 1.")
    if "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", ""):
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        jax.config.update("jax_num_cpu_devices", count or cores)
    except RuntimeError as error:  # JAX has started, as it has where a command is called from Python
        if count is not None and count != jax.device_count():
            raise CommandError(
                f"--devices is {count}, but JAX has started with {jax.device_count()}."
            ) from error

"""The JAX devices and processes that a command runs on."""

from __future__ import annotations

import os

import jax

from anmjax.cli.errors import CommandError


def join_processes(coordinator: str | None, num_processes: int | None, process_id: int | None) -> None:
    """Joins the processes of one training, on this machine or on many; none of the three: this one alone.

    Raises:
      CommandError: only some of the three are given, one is out of range, or the others did not come.
    """
    given = {"--coordinator": coordinator, "--num-processes": num_processes, "--process-id": process_id}
    missing = [flag for flag, value in given.items() if value is None]
    if len(missing) == len(given):
        return
    if coordinator is None or num_processes is None or process_id is None:
        needed = ", ".join(given)
        raise CommandError(f"several processes need {needed}: there is no {' and no '.join(missing)}.")
    if not 0 <= process_id < num_processes:
        raise CommandError(f"--process-id is {process_id}, but must be from 0 to {num_processes - 1}.")
    try:
        jax.distributed.initialize(coordinator, num_processes, process_id)
    except RuntimeError as error:
        raise CommandError(f"cannot join the processes at {coordinator}: {error}") from error


def use_devices(count: int | None) -> None:
    """Makes so many JAX devices of the CPU, or one a core; other devices are left as they are.

    Without effect where XLA_FLAGS already says how many.

    Raises:
      CommandError: another number is asked for than JAX has started with.
    """
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

"""Daily tables of loads and generator potentials, read from JSON."""

from __future__ import annotations

import json
import os
import re
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from flax import struct

from anmjax.grid.network import Network

# NumPy as loaded; whatever a transformation makes of it afterwards.
Array: TypeAlias = Any


SECOND = 1 / 3600  # h


class ProfileError(ValueError):
    """Raised for daily tables that do not exist, are at fault, or do not fit their network."""


@struct.dataclass
class DailyProfiles:
    """One day of a grid's exogenous quantities, from midnight; rows by ascending device id."""

    p_load: Array  # (n_load, n_steps) MW, <= 0, injection of every load
    p_max: Array  # (n_generator, n_steps) MW, >= 0, potential of every non-slack generator

    load_ids: tuple[int, ...] = struct.field(pytree_node=False)  # (n_load,)
    generator_ids: tuple[int, ...] = struct.field(pytree_node=False)  # (n_generator,)
    step_hours: float = struct.field(pytree_node=False)  # h, length of a step

    def check(self, net: Network) -> None:
        """Checks that the tables cover every load and non-slack generator of a network, and nothing else.

        Potentials above a generator's PMAX are allowed: they mean its PMAX.

        Raises:
          ProfileError: a device is missing or unknown, or a load is below its PMIN; the error names it.
        """
        for kind, given, positions in (
            ("load", self.load_ids, net.loads),
            ("generator", self.generator_ids, net.generators),
        ):
            wanted = [net.device_ids[i] for i in positions]
            for device in sorted({*given, *wanted}):
                if device not in given:
                    raise ProfileError(f"{kind} {device} of the network is missing")
                if device not in wanted:
                    raise ProfileError(f"{kind} {device} is unknown, the network has {wanted}")
        least = net.p_min[list(net.loads)] * net.base_mva
        for device, row, p_min in zip(self.load_ids, self.p_load, least, strict=True):
            # The simulator would clip such a load without a word. The margin is for MW to p.u. and back.
            if row.min() < p_min - 1e-9 * abs(p_min):
                raise ProfileError(f"load {device}: {row.min():g} MW is below its PMIN {p_min:g} MW")


def load_profiles(profiles: str | os.PathLike[str], net: Network | None = None) -> DailyProfiles:
    """Loads daily tables from a JSON file.

    The file holds an object with ``name``, ``source``, ``description``, ``step_hours`` (h) and, by device
    id, ``p_load_mw`` and ``p_max_mw``: as many numbers each as the day has steps.

    Args:
      profiles: name of packaged tables (``"anm6_easy"``), or path of a file (with a separator or ``.json``).
      net: network that the tables must fit, see ``DailyProfiles.check``.

    Raises:
      ProfileError: there are no such tables, or they are at fault; the error names device and fault.
    """
    origin = os.fspath(profiles)
    try:
        if isinstance(profiles, str) and not origin.endswith(".json") and Path(origin).name == origin:
            folder = resources.files("anmjax.tasks").joinpath("profiles")
            names = sorted(f.name.removesuffix(".json") for f in folder.iterdir())
            if origin not in names:
                raise ProfileError(f"there are none of this name, the packaged ones are {', '.join(names)}")
            text = folder.joinpath(f"{origin}.json").read_text("utf-8")
        else:
            text = Path(profiles).read_text("utf-8-sig")
        loaded = _parse(text)
        if net is not None:
            loaded.check(net)
    except (OSError, RecursionError, ValueError) as error:
        raise ProfileError(f"profiles {origin}: {error}") from error
    return loaded


def _parse(text: str) -> DailyProfiles:
    """Reads the text of a file. Every number arrives as a float, so that a bool cannot pass for one."""
    data = json.loads(text, parse_int=float)
    keys = ("step_hours", "p_load_mw", "p_max_mw")
    hours, load, potential = (data.get(key) if isinstance(data, dict) else None for key in keys)
    if not isinstance(load, dict) or not isinstance(potential, dict):
        raise ProfileError(f"must be a JSON object with the keys {', '.join(keys)}")
    if (
        not isinstance(hours, float)
        or not SECOND <= hours <= 24
        or abs(round(24 / hours) * hours - 24) > 1e-9
    ):
        raise ProfileError(f"step_hours is {hours!r}, must be a part of 24, of at least a second")
    load_ids, p_load = _rows("load", load, round(24 / hours), sign=-1)
    generator_ids, p_max = _rows("generator", potential, round(24 / hours), sign=1)
    return DailyProfiles(p_load, p_max, load_ids, generator_ids, hours)


def _rows(kind: str, table: dict[str, Any], n_steps: int, *, sign: int) -> tuple[tuple[int, ...], np.ndarray]:
    """Ids, ascending, and rows (n_device, n_steps) MW of one table; ``sign * MW >= 0``."""
    for key, row in table.items():
        if not re.fullmatch("0|-?[1-9][0-9]*", key):
            raise ProfileError(f"{kind} {key!r}: must be a device id")
        if not isinstance(row, list) or len(row) != n_steps:
            size = f"{len(row)} numbers" if isinstance(row, list) else repr(row)
            raise ProfileError(f"{kind} {key}: must be {n_steps} numbers, one a step, got {size}")
        for step, mw in enumerate(row):
            if not isinstance(mw, float) or not np.isfinite(mw) or sign * mw < 0:
                bound = "<= 0" if sign < 0 else ">= 0"
                raise ProfileError(f"{kind} {key}: {mw!r} at step {step}, must be a finite number {bound}")
    ids = sorted(map(int, table))
    return tuple(ids), np.array([table[str(i)] for i in ids], np.float64).reshape(len(ids), n_steps)

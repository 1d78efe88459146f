"""Profiles: what loads draw and generators could give, as tables of any length and step."""

from __future__ import annotations

import dataclasses
import importlib
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from flax import struct

from anmjax.grid.network import Network
from anmjax.tasks.processes.drawing import Driven, drawn_columns
from anmjax.tasks.processes.sessions import Session, session_columns
from anmjax.tasks.profiles import ProfileError
from anmjax.tasks.series_checks import (
    as_numbers,
    check_columns,
    check_values,
    even_step,
    positions_of,
    shown,
)
from anmjax.tasks.simbench import simbench_year

# NumPy as built; whatever a transformation makes of it afterwards.
Array: TypeAlias = Any
# A pandas.DataFrame, which this package does not depend on.
Frame: TypeAlias = Any

_SAID = 8  # faults of a table that are told


@struct.dataclass
class Profiles:
    """What drives a grid: P of every load, and P that every generator could give, step by step.

    Columns of what is read are named by the name or the id of a device, in MW and positive: the demand of a
    load, what a generator gives or could give. Storage units need none, and have none. A value holds from its
    time stamp to the next one. Chargers have sessions in the place of a column, see ``with_sessions``.
    """

    values: Array  # (n_steps, n_load + n_generator) MW, injections: loads, then generators, each by id
    load_ids: tuple[int, ...] = struct.field(pytree_node=False)  # (n_load,)
    generator_ids: tuple[int, ...] = struct.field(pytree_node=False)  # (n_generator,)
    step_hours: float = struct.field(pytree_node=False)  # h, length of a step
    start: str | None = struct.field(pytree_node=False, default=None)  # ISO time of the first step, if known
    # (n_steps, n_charger) h that the car at each charger stays from the beginning of the step, 0: none is
    # there; None: no cars come
    stay: Array | None = None

    @classmethod
    def from_dataframe(
        cls, frame: Frame, net: Network, *, step_hours: float | None = None, fill: str | None = None
    ) -> Profiles:
        """Profiles of a pandas DataFrame.

        Args:
          frame: a column for every load and generator of ``net``, by name or id, MW; its index are the times,
            at even steps. Times with a zone are taken as UTC.
          net: network.
          step_hours: h, length of a step, for an index that is no times.
          fill: what devices without a column do: None, an error; "case": what they do in the case, always.

        Raises:
          ProfileError: columns are missing, unknown or twice there; values are no numbers, missing, of the
            wrong sign or beyond the limits of their device; times are twice there, out of order or uneven.
            One sentence for each.
          TypeError: ``frame`` is no DataFrame.
        """
        if not hasattr(frame, "columns") or not hasattr(frame, "index"):
            raise TypeError(f"frame is a {type(frame).__name__}, expected a pandas.DataFrame")
        times = None
        if frame.index.dtype.kind == "M" or hasattr(frame.index, "tz"):
            index = frame.index if getattr(frame.index, "tz", None) is None else frame.index.tz_convert(None)
            times = index.to_numpy().astype("datetime64[ns]")
        elif step_hours is None:
            raise ProfileError(
                f"the index holds {frame.index.dtype}, no times: give the column of times as index "
                "(frame.set_index(pandas.to_datetime(frame.pop('time')))), or step_hours"
            )
        columns = [frame.iloc[:, k].to_numpy() for k in range(len(frame.columns))]
        return cls._read(list(frame.columns), columns, net, times, step_hours, fill)

    @classmethod
    def from_csv(cls, path: str | os.PathLike[str], net: Network, **options: Any) -> Profiles:
        """Profiles of a CSV file, whose first column are the times; ``options`` as in ``from_dataframe``."""
        frame = _pandas().read_csv(path, index_col=0)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore", UserWarning
                )  # of times that are no times, which is said below
                frame.index = _pandas().to_datetime(frame.index)
        except (ValueError, TypeError) as error:
            raise ProfileError(f"{os.fspath(path)}: the first column must hold times ({error})") from error
        return cls.from_dataframe(frame, net, **options)

    @classmethod
    def from_parquet(cls, path: str | os.PathLike[str], net: Network, **options: Any) -> Profiles:
        """Profiles of a Parquet file with the times as index; ``options`` as in ``from_dataframe``."""
        return cls.from_dataframe(_pandas().read_parquet(path), net, **options)

    @classmethod
    def from_numpy(
        cls,
        columns: Mapping[int | str, Any],
        net: Network,
        *,
        step_hours: float,
        start: str | None = None,
        fill: str | None = None,
    ) -> Profiles:
        """Profiles of arrays.

        Args:
          columns: (n_steps,) MW by name or id of the device.
          net: network.
          step_hours: h, length of a step.
          start: time of the first step, "2016-01-01T00:00"; None: midnight of a day without a date.
          fill: as in ``from_dataframe``.

        Raises:
          ProfileError: as in ``from_dataframe``.
        """
        arrays = [np.atleast_1d(np.asarray(x)) for x in columns.values()]
        lengths = {len(x) for x in arrays}
        if len(lengths) > 1 or any(x.ndim != 1 for x in arrays):
            raise ProfileError(
                f"the columns have lengths {sorted(lengths)}, but must be arrays of one length"
            )
        try:
            first = None if start is None else np.datetime64(start, "ns")
        except ValueError:
            raise ProfileError(f"start is {start!r}, but must be a time such as '2016-01-01T00:00'") from None
        read = cls._read(list(columns), arrays, net, None, step_hours, fill)
        return read if first is None else dataclasses.replace(read, start=str(first))

    @classmethod
    def from_simbench(cls, source: Any, net: Network) -> Profiles:
        """Profiles that a SimBench net carries, a year of quarters of an hour.

        A device without a profile does always what it does in the case; Q of loads follows their P by the
        ratio of the case, not by SimBench's profiles of Q. Those of storage units are not used: they are
        controlled. Times are winter time throughout.

        Args:
          source: the net, of ``simbench.get_simbench_net``.
          net: the network that ``Network.from_pandapower`` makes of it, with further devices or without some.

        Raises:
          ProfileError: the net has no profiles, or an element names one that is not there; and as in
            ``from_dataframe``.
        """
        year = simbench_year(source, net)
        return cls.from_numpy(year.columns, net, step_hours=year.step_hours, start=year.start, fill="case")

    @classmethod
    def from_processes(
        cls,
        driven: Sequence[Driven],
        net: Network,
        *,
        seed: int = 0,
        start: str = "2023-01-01T00:00",
        days: float = 365,
        step_hours: float = 0.25,
        fill: str | None = None,
    ) -> Profiles:
        """Profiles that processes draw, see ``anmjax.tasks.processes``.

        Args:
          driven: (process, devices): a process and the devices that follow it, a dict of MW at 1 p.u. by name
            or id.
          net: network.
          seed: whole number >= 0; the same seed is the same table, on any machine and in any precision.
          start: time of the first step.
          days: length.
          step_hours: h, length of a step.
          fill: as in ``from_dataframe``.

        Raises:
          ProfileError: as in ``from_dataframe``.
          ValueError: two processes drive a device, or ``seed`` or ``start`` is none.
        """
        steps = round(days * 24 / step_hours)
        columns = drawn_columns(driven, seed=seed, start=start, num_steps=steps, step_hours=step_hours)
        return cls.from_numpy(columns, net, step_hours=step_hours, start=start, fill=fill)

    @classmethod
    def of_case(cls, net: Network, *, num_steps: int = 96, step_hours: float = 0.25) -> Profiles:
        """Profiles in which every device does what it does in the imported case, for all steps."""
        return cls._read([], [np.zeros(num_steps)][:0], net, None, step_hours, "case", num_steps)

    @classmethod
    def _read(
        cls,
        names: list[Any],
        columns: Sequence[np.ndarray],
        net: Network,
        times: np.ndarray | None,
        step_hours: float | None,
        fill: str | None,
        num_steps: int | None = None,
    ) -> Profiles:
        if fill not in (None, "case"):
            raise ProfileError(f"fill is {fill!r}, but must be None or 'case'")
        size = len(columns[0]) if columns else len(times) if times is not None else (num_steps or 0)
        if size == 0:
            raise ProfileError("the table has no rows")
        every = [*net.loads, *net.generators]
        wanted = [k for k in every if k not in net.chargers]
        faults: list[str] = []
        step = even_step(times, step_hours, faults)
        at = positions_of(names, net)
        check_columns(names, at, net, wanted, fill, faults)
        case = np.zeros(net.n_device) if net.p_device is None else np.asarray(net.p_device, float)
        values = np.tile(case[every] * float(net.base_mva), (size, 1))
        for name, k, column in zip(names, at, columns, strict=True):
            if k is None or k not in wanted:
                continue
            numbers = as_numbers(shown(name), column, times, faults)
            if numbers is not None:
                sign = -1.0 if float(np.max(net.p_max[k])) <= 0 and k in net.loads else 1.0
                check_values(shown(name), numbers, sign, k, net, times, faults)
                values[:, every.index(k)] = sign * numbers
        if faults:
            more = [f"and {len(faults) - _SAID} more faults"] if len(faults) > _SAID else []
            raise ProfileError("\n".join([*faults[:_SAID], *more]))
        return cls(
            values=values + 0.0,
            load_ids=tuple(net.device_ids[k] for k in net.loads),
            generator_ids=tuple(net.device_ids[k] for k in net.generators),
            step_hours=step,
            start=None if times is None else str(times[0]),
        )

    @property
    def num_steps(self) -> int:
        """Number of steps."""
        return int(self.values.shape[0])

    def at_step(self, step_hours: float) -> Profiles:
        """The profiles at another step: means over longer ones, interpolated for shorter ones.

        Args:
          step_hours: h.

        Raises:
          ProfileError: the table is shorter than a step.
        """
        if abs(step_hours - self.step_hours) <= 1e-9 * self.step_hours:
            return self
        if self.stay is not None:
            raise ProfileError(
                f"profiles with sessions stay at their step of {self.step_hours:g} h: at_step first, then "
                "with_sessions"
            )
        values = np.asarray(self.values, float)
        length = len(values) * self.step_hours
        count = int(length / step_hours * (1 + 1e-12))
        if count < 1:
            raise ProfileError(f"the table is {length:g} h long, shorter than a step of {step_hours:g} h")
        stamps, own = np.arange(len(values)) * self.step_hours, np.arange(count) * step_hours
        if step_hours < self.step_hours:
            columns = [np.interp(own, stamps, column) for column in values.T]
        else:
            # The mean of what holds from stamp to stamp is a difference of its integral.
            edges = np.append(stamps, length)
            integral = np.concatenate(
                [np.zeros((1, values.shape[1])), np.cumsum(values, 0) * self.step_hours]
            )
            ends = np.append(own, own[-1] + step_hours)
            columns = [np.diff(np.interp(ends, edges, column)) / step_hours for column in integral.T]
        table = np.array(columns).T.reshape(count, values.shape[1])
        return dataclasses.replace(self, values=table, step_hours=float(step_hours))

    def with_sessions(self, sessions: Sequence[Session | tuple[Any, ...]], net: Network) -> Profiles:
        """The profiles with cars that come to chargers.

        Args:
          sessions: (charger, arrival, departure, MWh) of each, in any order: a name or id, hours from the
            start of the profiles or ISO times, and the energy that the car needs. Times are those of the
            nearest steps; what begins before the profiles or after them is left out.
          net: the network.

        Raises:
          ProfileError: a session is of no charger, ends before it begins, overlaps with another one or needs
            what no car may; one sentence for each.
        """
        base = float(net.base_mva)
        owed = (
            {} if net.flexibility is None else dict(zip(net.flexible, net.flexibility.most_owed, strict=True))
        )
        chargers = [(k, -float(net.p_min[k]) * base, float(owed[k]) * base) for k in net.chargers]
        arriving, stay, faults = session_columns(
            [Session(*one) for one in sessions],
            chargers,
            net.device_position,
            num_steps=self.num_steps,
            step_hours=self.step_hours,
            start=self.start,
        )
        if faults:
            more = [f"and {len(faults) - _SAID} more faults"] if len(faults) > _SAID else []
            raise ProfileError("\n".join([*faults[:_SAID], *more]))
        values = np.array(self.values, float)
        at = [k for k, place in enumerate(net.loads) if place in net.chargers]
        values[:, at] = -arriving + 0.0
        return dataclasses.replace(self, values=values, stay=stay)

    def check(self, net: Network) -> None:
        """Checks that the profiles are those of a network's loads and generators.

        Raises:
          ProfileError: a device is missing or unknown.
        """
        for kind, given, positions in (
            ("load", self.load_ids, net.loads),
            ("generator", self.generator_ids, net.generators),
        ):
            wanted = tuple(net.device_ids[k] for k in positions)
            if given != wanted:
                missing = [net.device_labels[net.device_position(i) or 0] for i in wanted if i not in given]
                unknown = [i for i in given if i not in wanted]
                raise ProfileError(
                    f"the profiles were made for another network, make them for this one: {kind}s that they "
                    f"lack: {missing or 'none'}, ids that it lacks: {unknown or 'none'}"
                )


def _pandas() -> Any:
    try:
        pandas: Any = importlib.import_module("pandas")
    except ModuleNotFoundError as error:
        raise ImportError("pandas is not installed: pip install pandas") from error
    return pandas

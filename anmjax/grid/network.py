"""Network: a grid's parameters as a pytree, its topology static."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, TypeAlias

import numpy as np
from flax import struct

from anmjax.grid import tables
from anmjax.grid.cases import load_case
from anmjax.grid.matpower_case import read_matpower
from anmjax.grid.pandapower_net import read_pandapower
from anmjax.grid.parsing import Row
from anmjax.grid.validation import NetworkError, read
from anmjax.grid.writing import write_dict

# NumPy as built; whatever a transformation makes of it afterwards, which this floor knows nothing of.
Array: TypeAlias = Any


@struct.dataclass
class Network:
    """A grid: buses, branches, devices.

    Numbers are leaves, in p.u. on ``base_mva`` and in radians, float64 NumPy as built; topology and kinds
    of device are static. Bus and device arrays are sorted by id, branch arrays keep the order of the
    file. No value is NaN: a field that does not apply to a kind of device holds 0 (``eff`` 1).
    In a power flow the slack bus is held at ``v_set`` and ``slack_angle``, the buses in ``pv`` at their
    ``v_set``, all others are PQ buses. ``p`` and ``q`` are the injections of the case that was imported; a
    gym-anm dict has limits but no such operating point, so there they are zero, as are shunts.
    A load's ``q_max`` and ``q_min`` are the ends of ``qp_ratio * [p_min, p_max]``; the ``+`` and ``-``
    limits of loads, and ``p_minus`` of generators, equal the bounds.
    """

    base_mva: Array  # () MVA, base power
    base_kv: Array  # (n_bus,) kV, base voltage
    v_max: Array  # (n_bus,) p.u., largest voltage magnitude
    v_min: Array  # (n_bus,) p.u., smallest voltage magnitude
    v_set: Array  # (n_bus,) p.u., voltage magnitude held by the slack and by PV buses
    slack_angle: Array  # () rad, voltage angle of the slack
    g_shunt: Array  # (n_bus,) p.u., shunt conductance: consumes g_shunt |V|^2
    b_shunt: Array  # (n_bus,) p.u., shunt susceptance: injects b_shunt |V|^2 of reactive power
    p: Array  # (n_bus,) p.u., active injection of the case
    q: Array  # (n_bus,) p.u., reactive injection of the case

    r: Array  # (n_branch,) p.u., series resistance
    x: Array  # (n_branch,) p.u., series reactance
    g: Array  # (n_branch,) p.u., total shunt conductance, half at each end
    b: Array  # (n_branch,) p.u., total charging susceptance, half at each end
    rating: Array  # (n_branch,) p.u., largest apparent power, may be inf
    tap: Array  # (n_branch,) turns ratio, at the from side
    shift: Array  # (n_branch,) rad, phase shift, at the from side
    in_service: Array  # (n_branch,) 1 in service, 0 open: scales the admittance

    qp_ratio: Array  # (n_device,) Q/P of loads
    p_max: Array  # (n_device,) p.u., largest P
    p_min: Array  # (n_device,) p.u., smallest P
    q_max: Array  # (n_device,) p.u., largest Q
    q_min: Array  # (n_device,) p.u., smallest Q
    p_plus: Array  # (n_device,) p.u., P above which Q is limited further
    p_minus: Array  # (n_device,) p.u., P below which Q is limited further (storage)
    q_plus: Array  # (n_device,) p.u., largest Q at p_max, and at p_min of storage
    q_minus: Array  # (n_device,) p.u., smallest Q at p_max, and at p_min of storage
    soc_max: Array  # (n_device,) p.u.h, largest state of charge (storage)
    soc_min: Array  # (n_device,) p.u.h, smallest state of charge (storage)
    eff: Array  # (n_device,) efficiency of charging, and of discharging (storage)

    bus_ids: tuple[int, ...] = struct.field(pytree_node=False)  # (n_bus,) ascending
    slack: int = struct.field(pytree_node=False)  # index of the slack bus
    pv: tuple[int, ...] = struct.field(pytree_node=False)  # indices of the PV buses, ascending
    from_bus: tuple[int, ...] = struct.field(pytree_node=False)  # (n_branch,) bus indices
    to_bus: tuple[int, ...] = struct.field(pytree_node=False)  # (n_branch,) bus indices
    device_ids: tuple[int, ...] = struct.field(pytree_node=False)  # (n_device,) ascending
    device_bus: tuple[int, ...] = struct.field(pytree_node=False)  # (n_device,) bus indices
    # (n_device,) -1 load, 0 slack, 1 classical generator, 2 renewable generator, 3 storage
    device_kind: tuple[int, ...] = struct.field(pytree_node=False)

    @property
    def n_bus(self) -> int:
        """Number of buses."""
        return len(self.bus_ids)

    @property
    def n_branch(self) -> int:
        """Number of branches."""
        return len(self.from_bus)

    @property
    def n_device(self) -> int:
        """Number of devices."""
        return len(self.device_ids)

    @property
    def dtype(self) -> np.dtype:
        """Floating point type of the numbers."""
        return np.dtype(self.r.dtype)

    @property
    def loads(self) -> tuple[int, ...]:
        """Positions of the loads in the device arrays."""
        return self._of_kind(tables.LOAD)

    @property
    def generators(self) -> tuple[int, ...]:
        """Positions of the generators, the slack left out."""
        return self._of_kind(tables.CLASSICAL, tables.RENEWABLE)

    @property
    def renewables(self) -> tuple[int, ...]:
        """Positions of the renewable generators."""
        return self._of_kind(tables.RENEWABLE)

    @property
    def storage(self) -> tuple[int, ...]:
        """Positions of the storage units."""
        return self._of_kind(tables.STORAGE)

    @property
    def slack_device(self) -> int:
        """Position of the slack device."""
        return self.device_kind.index(tables.SLACK)

    def _of_kind(self, *kinds: int) -> tuple[int, ...]:
        return tuple(i for i, kind in enumerate(self.device_kind) if kind in kinds)

    def astype(self, dtype: Any) -> Network:
        """Casts every number to a floating point type."""
        leaves = {f.name: getattr(self, f.name) for f in fields(self) if f.metadata.get("pytree_node", True)}
        return replace(self, **{name: leaf.astype(dtype) for name, leaf in leaves.items()})

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> Network:
        """Builds a network from a gym-anm network dict; None in a table stands for the default.

        bus::

            BUS_ID   -     id, unique: an integer
            BUS_TYPE -     kind of bus: 0 slack, 1 PQ
            BASE_KV  kV    base voltage: > 0, required
            VMAX     p.u.  largest voltage magnitude: >= 0, required
            VMIN     p.u.  smallest voltage magnitude
                             slack: a finite number, default 0.0
                             PQ: >= 0, required
            PQ: VMAX >= VMIN

        device::

            DEV_ID   -     id, unique: an integer
            BUS_ID   -     bus the device is connected to: an integer
            DEV_TYPE -     kind of device: -1 load, 0 slack, 1 classical, 2 renewable, 3 storage
            Q/P      -     ratio of Q to P
                             load: a finite number, required
            PMAX     MW    largest P
                             load: <= 0, default 0.0
                             slack: a number or inf, default inf
                             classical, renewable, storage: >= 0 or inf, default inf
            PMIN     MW    smallest P
                             load, slack: a number or -inf, default -inf
                             classical, renewable: >= 0, default 0.0
                             storage: <= 0 or -inf, default -inf
            QMAX     MVAr  largest Q
                             slack, classical, renewable, storage: a number or inf, default inf
            QMIN     MVAr  smallest Q
                             slack, classical, renewable, storage: a number or -inf, default -inf
            P+       MW    P above which Q is limited further
                             slack, classical, renewable, storage: a number or inf, default PMAX
            P-       MW    P below which Q is limited further
                             storage: a number or -inf, default PMIN
            Q+       MVAr  largest Q at PMAX, and at PMIN of a storage unit
                             slack, classical, renewable, storage: a number or inf, default QMAX
            Q-       MVAr  smallest Q at PMAX, and at PMIN of a storage unit
                             slack, classical, renewable, storage: a number or -inf, default QMIN
            SOC_MAX  MWh   largest state of charge
                             storage: >= 0, required
            SOC_MIN  MWh   smallest state of charge
                             storage: >= 0, default 0.0
            EFF      -     efficiency of charging, and of discharging
                             storage: in (0, 1], default 1.0
            load, slack, classical, renewable, storage: PMAX >= PMIN
            slack, classical, renewable, storage: QMAX >= QMIN, P+ >= PMIN, P+ <= PMAX, Q+ <= QMAX,
                Q- >= QMIN, Q+ >= Q-
            storage: P- >= PMIN, P- <= PMAX, P+ >= P-, SOC_MAX >= SOC_MIN

        branch::

            F_BUS    -     bus at the from side, where the tap is: an integer
            T_BUS    -     bus at the to side: an integer
            BR_R     p.u.  series resistance: >= 0, default 0.0
            BR_X     p.u.  series reactance: >= 0, default 0.0
            BR_B     p.u.  total charging susceptance: >= 0, default 0.0
            RATE     MVA   largest apparent power: >= 0 or inf, default inf
            TAP      -     off-nominal turns ratio: > 0, default 1.0
            SHIFT    deg   phase shift: in [0, 360], default 0.0

        Args:
          d: dict with the keys ``baseMVA`` (MVA), ``bus``, ``device`` and ``branch`` (two-dimensional
            tables with the columns above). Other keys are ignored.

        Raises:
          NetworkError: the dict has faults; the error lists all of them.
        """
        source = read(d)
        base = source.base_mva
        bus = sorted(source.bus, key=lambda row: row.ids["BUS_ID"])
        device = sorted(source.device, key=lambda row: row.ids["DEV_ID"])
        branch = source.branch
        index = {row.ids["BUS_ID"]: i for i, row in enumerate(bus)}

        def column(rows: list[Row], name: str, scale: float = 1.0) -> np.ndarray:
            return np.array([row.values[name] / scale for row in rows], np.float64)

        limits = [_device_limits(row, base) for row in device]
        leaves: dict[str, Any] = {name: np.array([entry[name] for entry in limits]) for name in limits[0]}
        leaves.update(
            base_mva=np.array(base, np.float64),
            base_kv=column(bus, "BASE_KV"),
            v_max=column(bus, "VMAX"),
            v_min=column(bus, "VMIN"),
            v_set=np.ones(len(bus)),
            slack_angle=np.zeros(()),
            **{name: np.zeros(len(bus)) for name in ("g_shunt", "b_shunt", "p", "q")},
            r=column(branch, "BR_R"),
            x=column(branch, "BR_X"),
            g=np.zeros(len(branch)),
            b=column(branch, "BR_B"),
            rating=column(branch, "RATE", base),
            tap=column(branch, "TAP"),
            shift=column(branch, "SHIFT") * np.pi / 180,
            in_service=np.ones(len(branch)),
        )
        return cls(
            **leaves,
            bus_ids=tuple(index),
            slack=next(i for i, row in enumerate(bus) if row.kind == tables.SLACK_BUS),
            pv=(),
            from_bus=tuple(index[row.ids["F_BUS"]] for row in branch),
            to_bus=tuple(index[row.ids["T_BUS"]] for row in branch),
            device_ids=tuple(row.ids["DEV_ID"] for row in device),
            device_bus=tuple(index[row.ids["BUS_ID"]] for row in device),
            device_kind=tuple(row.kind for row in device if row.kind is not None),
        )

    @classmethod
    def from_json(cls, case: str | os.PathLike[str]) -> Network:
        """Builds a network from a JSON case: the name of a packaged one, or the path of a file.

        Raises:
          CaseError: there is no such case, or the file is no JSON case.
          NetworkError: the case has faults; the error lists all of them.
        """
        try:
            return cls.from_dict(load_case(case))
        except NetworkError as error:
            raise NetworkError(error.faults, origin=f"the case {os.fspath(case)}") from None

    @classmethod
    def from_matpower(cls, path: str | os.PathLike[str]) -> Network:
        """Builds a network from a MATPOWER case file (``.m``, format version 2), without executing it.

        Statements that compute with the tables, such as the unit conversions of MATPOWER's distribution
        cases, are carried out; one that is beyond plain arithmetic is refused. ``p`` and ``q`` are the
        generation in service less the demand. Branches out of service stay, with ``in_service`` 0; a
        ``RATE_A`` of 0 is unlimited; a PV bus without a generator in service is a PQ bus. A base voltage
        of 0, which some cases have, stays 0. Limits of generators are not read. The only device is a
        slack without limits, id 0: environments take their devices from ``from_dict``.

        Args:
          path: the file.

        Raises:
          CaseError: the file cannot be read.
          NetworkError: the case has faults, or what a network cannot represent: statements beyond
            arithmetic, direct-current lines in service, none or several reference buses, branches without
            an impedance, generators at a bus that disagree on its voltage, numbers that are not finite.

        Warns:
          IsolatedBusWarning: buses of type 4, or without a path of branches in service to the reference
            bus, were left out with all that is connected to them.
        """
        return cls(**read_matpower(path))

    @classmethod
    def from_pandapower(cls, net: Any) -> Network:
        """Builds a network from a pandapower net, which stays as it is; no power flow is run.

        The electrical model is pandapower's own (T-model transformers unless ``user_pf_options`` says
        otherwise, tap changers, switches, wards, motors and so on), always with voltage angles:
        ``runpp(net, calculate_voltage_angles=True)`` is its solution. As there, reactive limits of
        generators are not enforced. ``p`` and ``q`` are what the tables say; the slack's own part, and the
        ``q`` of PV buses, are not known before a power flow. ``rating`` is the power at 100 % loading, or
        at ``max_loading_percent``, and nominal voltage. Branches out of service and the only device are as
        in ``from_matpower``.

        Bus ids are indices of ``net.bus``. Buses joined by closed bus-bus switches without impedance are
        one bus, under the smallest index. Star points of three-winding transformers, inner buses of
        extended wards and open ends of lines get ids above the largest index.
        ``anmjax.grid.pandapower_bus_index(net)`` maps indices to positions.

        Args:
          net: the pandapower net.

        Raises:
          ImportError: pandapower is not installed.
          TypeError: ``net`` is no pandapower net.
          NetworkError: the net has faults, or what a network cannot represent: controllers in service,
            voltage-dependent loads, direct-current lines and grids, FACTS, impedances that differ by
            direction, external grids at several buses, tables that are not known.

        Warns:
          IsolatedBusWarning: buses out of service, or not supplied, were left out with all that is
            connected to them.
        """
        return cls(**read_pandapower(net))

    def to_dict(self) -> dict[str, Any]:
        """Writes a gym-anm network dict (MW, MVAr, MWh, degrees); ``from_dict`` reads back equal numbers.

        Rows are sorted as here; unlimited device bounds and columns that do not apply are None. Open
        branches (``in_service`` 0) are left out, since the dict has no column for them.

        Raises:
          ValueError: the network has what the dict cannot say: PV buses, shunts, injections, a slack
            set-point other than 1 at angle 0, or a branch partly in service.
        """
        return write_dict(self)


def _device_limits(row: Row, base: float) -> dict[str, float]:
    """Fills one entry of every device array, p.u."""

    def power(name: str, otherwise: float = 0.0) -> float:
        return row.values[name] / base if name in row.values else otherwise

    ratio = row.values.get("Q/P", 0.0)
    p_max, p_min = power("PMAX"), power("PMIN")
    # An unlimited load without reactive power: 0 * inf is 0 here. Adding 0 clears the sign of -0.
    ends = [0.0 if ratio == 0 else ratio * p + 0.0 for p in (p_min, p_max)]
    q_max, q_min = power("QMAX", max(ends)), power("QMIN", min(ends))
    return {
        "qp_ratio": ratio,
        "p_max": p_max,
        "p_min": p_min,
        "q_max": q_max,
        "q_min": q_min,
        "p_plus": power("P+", p_max),
        "p_minus": power("P-", p_min),
        "q_plus": power("Q+", q_max),
        "q_minus": power("Q-", q_min),
        "soc_max": power("SOC_MAX"),
        "soc_min": power("SOC_MIN"),
        "eff": row.values.get("EFF", 1.0),
    }

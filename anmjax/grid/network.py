"""Network: a grid's parameters as a pytree, its topology static."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from flax import struct

from anmjax.grid.asymmetry import BranchAsymmetry
from anmjax.grid.cases import load_case
from anmjax.grid.flexible import Flexibility
from anmjax.grid.gym_anm import read_dict, write_dict
from anmjax.grid.matpower_case import read_matpower
from anmjax.grid.network_devices import DevicesOfNetwork
from anmjax.grid.pandapower_net.reading import read_pandapower
from anmjax.grid.replacing import checked_replace, floating
from anmjax.grid.settings import Settings
from anmjax.grid.validation import NetworkError

# NumPy as built; whatever a transformation makes of it afterwards, which this floor knows nothing of.
Array: TypeAlias = Any


@checked_replace
@struct.dataclass
class Network(DevicesOfNetwork):
    """A grid: buses, branches, devices.

    Numbers are leaves, in p.u. on ``base_mva`` and in radians, float64 NumPy as built; topology and kinds
    of device are static. Bus and device arrays are sorted by id, branch arrays keep the order of the
    file. No value is NaN: a field that does not apply to a kind of device holds 0 (``eff`` 1).
    In a power flow the slack buses are held at their ``v_set`` and ``slack_angle``, the buses in ``pv`` at
    their ``v_set``, all others are PQ buses. ``p`` and ``q`` are the injections of the case that was
    imported, without what loads of constant current draw; a gym-anm dict has limits but no such operating
    point, so there they are zero, as are shunts. They are the sum of ``p_device`` over the devices of a bus
    and of ``p_fixed``, but at slacks: a simulator step takes ``p_fixed`` as it is, and from the devices what
    they do, so that every injection counts once. A load of constant current draws
    ``|V| (p_current + j q_current)``; of constant impedance it is a shunt.
    A load's ``q_max`` and ``q_min`` are the ends of ``qp_ratio * [p_min, p_max]``; the ``+`` and ``-``
    limits of loads, and ``p_minus`` of generators, equal the bounds.
    """

    base_mva: Array  # () MVA, base power
    base_kv: Array  # (n_bus,) kV, base voltage
    v_max: Array  # (n_bus,) p.u., largest voltage magnitude
    v_min: Array  # (n_bus,) p.u., smallest voltage magnitude
    v_set: Array  # (n_bus,) p.u., voltage magnitude held by slacks and PV buses
    slack_angle: Array  # (n_slack,) rad, voltage angle held by each slack
    g_shunt: Array  # (n_bus,) p.u., shunt conductance: consumes g_shunt |V|^2
    b_shunt: Array  # (n_bus,) p.u., shunt susceptance: injects b_shunt |V|^2 of reactive power
    p: Array  # (n_bus,) p.u., active injection of the case
    q: Array  # (n_bus,) p.u., reactive injection of the case
    p_current: Array  # (n_current_load,) p.u., P that a load of constant current draws at 1 p.u. of voltage
    q_current: Array  # (n_current_load,) p.u., its Q

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
    slacks: tuple[int, ...] = struct.field(pytree_node=False)  # (n_slack,) bus indices, ascending
    pv: tuple[int, ...] = struct.field(pytree_node=False)  # indices of the PV buses, ascending
    # (n_current_load,) bus indices of the loads of constant current
    current_load_bus: tuple[int, ...] = struct.field(pytree_node=False)
    from_bus: tuple[int, ...] = struct.field(pytree_node=False)  # (n_branch,) bus indices
    to_bus: tuple[int, ...] = struct.field(pytree_node=False)  # (n_branch,) bus indices
    device_ids: tuple[int, ...] = struct.field(pytree_node=False)  # (n_device,) ascending
    device_bus: tuple[int, ...] = struct.field(pytree_node=False)  # (n_device,) bus indices
    # (n_device,) -1 load, 0 slack, 1 classical generator, 2 renewable generator, 3 storage, 4 load that
    # may wait, 5 charger; -1 is all that follows a profile and takes no action, what feeds in among it
    device_kind: tuple[int, ...] = struct.field(pytree_node=False)

    asymmetry: BranchAsymmetry | None = None  # None: every branch is the same from both ends
    p_device: Array | None = None  # (n_device,) p.u., part of p that is of devices; None: none is
    q_device: Array | None = None  # (n_device,) p.u., part of q
    p_fixed: Array | None = None  # (n_bus,) p.u., part of p that is of no device; None: none is
    q_fixed: Array | None = None  # (n_bus,) p.u., part of q
    flexibility: Flexibility | None = None  # of loads that may wait; None: none may
    settings: Settings | None = None  # what can be set of the network itself; None: nothing
    device_names: tuple[str, ...] = struct.field(pytree_node=False, default=())  # (n_device,), or () without
    bus_names: tuple[str, ...] = struct.field(pytree_node=False, default=())  # (n_bus,), or () without
    branch_names: tuple[str, ...] = struct.field(pytree_node=False, default=())  # (n_branch,), or ()

    @property
    def n_bus(self) -> int:
        """Number of buses."""
        return len(self.bus_ids)

    @property
    def n_slack(self) -> int:
        """Number of slack buses."""
        return len(self.slacks)

    @property
    def slack(self) -> int:
        """Index of the first slack bus; the only one of most networks."""
        return self.slacks[0]

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
        """Floating point type of the numbers: float32 or float64."""
        return floating(self.r.dtype)

    def astype(self, dtype: Any) -> Network:
        """Casts every number to a floating point type: float32 or float64."""
        return _cast(self, floating(dtype))

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
        return cls(**read_dict(d))

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
    def from_matpower(cls, path: str | os.PathLike[str], *, devices: bool = True) -> Network:
        """Builds a network from a MATPOWER case file (``.m``, format versions 1 and 2), without MATLAB.

        Statements, conditions and loops of the part of MATLAB that case files use, such as the unit
        conversions of MATPOWER's distribution cases, are carried out; anything else is refused with its
        line. ``p`` and ``q`` are the
        generation in service less the demand. Branches out of service stay, with ``in_service`` 0, unless
        their numbers make no branch; other elements out of service are left out, whatever they hold. A
        ``RATE_A`` of 0 is unlimited; a PV bus without a generator in service is a PQ bus. A base voltage
        of 0, which some cases have, stays 0. Every reference bus is a slack, each with an island of its own
        or several with one. Devices are slacks without limits, one at each, with ids from 0, a load for the
        demand of every bus, and generators within their limits; see ``anmjax.grid.power_tables``. A line of
        direct current in service is what MATPOWER makes of it (``toggle_dcline``; plain ``runpf`` ignores
        it): PF taken from one bus, less the loss given to the other, both held at VF and VT.

        Args:
          path: the file.
          devices: False: the slacks alone are devices, and all injections are fixed in an environment.

        Raises:
          CaseError: the file cannot be read.
          NetworkError: the case has faults, or what a network cannot represent: statements beyond those
            that are read, no bus that a generator in service could make the reference, branches without
            an impedance, numbers that are not finite.

        Warns:
          IsolatedBusWarning: buses of type 4, or without a path of branches in service to a reference bus,
            were left out with all that is connected to them.
          ReferenceBusWarning: a reference bus has no generator in service and is a PQ bus, or there is none:
            where none is left, the first PV bus of the table with a generator in service is the reference.
          SetPointWarning: generators at one bus disagree on its voltage: the last one counts.
          IgnoredFieldWarning: fields that are not known were ignored.
        """
        return cls(**read_matpower(path, devices))

    @classmethod
    def from_pandapower(cls, net: Any, *, devices: bool = True) -> Network:
        """Builds a network from a pandapower net, which stays as it is; no power flow is run.

        The electrical model is pandapower's own, by the options in ``user_pf_options`` (T-model
        transformers unless they say otherwise, tap changers, switches, wards, motors and so on), always
        with voltage angles: ``runpp(net, calculate_voltage_angles=True)`` is its solution. As there,
        reactive limits of generators are not enforced, and controllers are not run. ``p`` and ``q`` are
        what the tables say; the slacks' own part, and the ``q`` of PV buses, are not known before a power
        flow. Parts of loads of constant impedance are shunts, lines of direct current an injection at each
        end that holds its voltage. ``rating`` is the power at 100 % loading, or at
        ``max_loading_percent``, and nominal voltage. Slacks and what is out of service are as in
        ``from_matpower``. Devices, by the names that they have in the net, are loads, and generators and
        storage units within their limits; what is not ``controllable`` follows its profile. A PV bus is one
        in ``power_flow`` alone: in an environment generators set their own Q, as in gym-anm.

        Bus ids are indices of ``net.bus``. Buses joined by closed bus-bus switches without impedance are
        one bus, under the smallest index. Star points of three-winding transformers, inner buses of
        extended wards and open ends of lines get ids above the largest index.
        ``anmjax.grid.pandapower_bus_index(net)`` maps indices to positions.

        Args:
          net: the pandapower net.
          devices: as in ``from_matpower``.

        Raises:
          ImportError: pandapower is not installed.
          TypeError: ``net`` is no pandapower net.
          NetworkError: the net has faults, or what a network cannot represent: FACTS, converters and
            direct-current grids in service, a distributed slack, enforced reactive limits, tables that are
            not known.

        Warns:
          IsolatedBusWarning: buses out of service, or not supplied, were left out with all that is
            connected to them.
          SimplificationWarning: loads by phase are taken as balanced, controllers are not run, or
            pandapower takes the mean of the voltage dependence of several loads at one bus.
        """
        return cls(**read_pandapower(net, devices))

    def to_dict(self) -> dict[str, Any]:
        """Writes a gym-anm network dict (MW, MVAr, MWh, degrees); ``from_dict`` reads back equal numbers.

        Rows are sorted as here; unlimited device bounds and columns that do not apply are None. Open
        branches (``in_service`` 0) are left out, since the dict has no column for them.

        Raises:
          ValueError: the network has what the dict cannot say: PV buses, shunts, injections, a slack
            set-point other than 1 at angle 0, or a branch partly in service.
        """
        return write_dict(self)


def _cast(record: Any, dtype: Any) -> Any:
    """A record with its leaves, and those of records in it, of another floating point type."""
    leaves = {f.name: getattr(record, f.name) for f in fields(record) if f.metadata.get("pytree_node", True)}
    return replace(
        record,
        **{
            name: _cast(leaf, dtype) if is_dataclass(leaf) else leaf.astype(dtype)
            for name, leaf in leaves.items()
            if leaf is not None
        },
    )

"""The names of gym-anm 1.0.1 that its own tests use, over this package.

Objects hold what a test writes into them, the P of a device say, and ask the package for the rest: networks
and their faults, regions, charge, flows, bounds, costs. What gym-anm keeps and this package has not is left
out: a test of it fails, and ``tests/adapters/test_gym_anm_tests.py`` says why.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from scipy import sparse

import anmjax
from anmjax.adapters.simulator import Simulator as View
from anmjax.envs.records import GridState, InitialState
from anmjax.envs.reward import costs, reward_of
from anmjax.envs.transition import Setpoints, dispatch
from anmjax.lanes import phasor
from anmjax.powerflow.admittance import two_port
from anmjax.powerflow.branches import branch_currents, branch_flows
from anmjax.powerflow.inputs import branch_parameters
from anmjax.powerflow.solve import Solution
from anmjax.projection.controls import injected, reach
from anmjax.projection.device_region import reactive_range


class BaseMVAError(Exception):
    """The base power may not be."""


class BusSpecError(Exception):
    """A bus may not be."""


class BranchSpecError(Exception):
    """A branch may not be."""


class DeviceSpecError(Exception):
    """A device may not be, of whatever kind."""


ERRORS = {"baseMVA": BaseMVAError, "bus": BusSpecError, "branch": BranchSpecError, "device": DeviceSpecError}


def read(base_mva: float, buses: list, branches: list, devices: list) -> anmjax.Network:
    """A network of rows; what is wrong with it is an error of every table that has a fault."""
    tables = {"bus": (buses, 5), "branch": (branches, 8), "device": (devices, 15)}
    rows = {name: np.array(list(rows), object).reshape(-1, width) for name, (rows, width) in tables.items()}
    try:
        return anmjax.Network.from_dict({"baseMVA": base_mva, **rows})
    except anmjax.NetworkError as error:
        kinds = {ERRORS[_table(fault)]: None for fault in error.faults}
        raise type("SpecError", tuple(kinds), {})(str(error)) from error


def _table(fault: Any) -> str:
    """The table that a fault is of; those of the network name it as their field."""
    told = fault.element.split()[0]
    return told if told in ERRORS else {"BUS_TYPE": "bus", "DEV_TYPE": "device"}.get(fault.field, fault.field)


def slack(bus: Any) -> list[Any]:
    """A row of a slack device."""
    return [0, bus, 0, None, 200, -200, 200, -200, *[None] * 7]


class Bus:
    """A bus, with one more that feeds it unless it is a slack itself."""

    def __init__(self, spec: Any) -> None:
        """Reads a row."""
        if spec[1] == 0:
            other, line, feeder = [spec[0] + 1, 1, 10, 1.1, 0.9], [spec[0], spec[0] + 1], spec[0]
        else:
            other, line, feeder = [0, 0, 10, 1.1, 0.9], [0, spec[0]], 0
        net = read(1, [spec, other], [[*line, 0.1, 0.1, 0, None, 1, 0]], [slack(feeder)])
        k = net.bus_ids.index(int(spec[0]))
        self.id, self.is_slack = net.bus_ids[k], k in net.slacks
        self.type = 0 if self.is_slack else 1
        self.baseKV, self.v_max, self.v_min = net.base_kv[k], net.v_max[k], net.v_min[k]


class TransmissionLine:
    """A branch between two of some buses."""

    def __init__(self, spec: Any, base_mva: float, bus_ids: list[int]) -> None:
        """Reads a row."""
        buses = [[i, 0 if i == bus_ids[0] else 1, 10, 1.1, 0.9] for i in bus_ids]
        self._of(read(base_mva, buses, [spec], [slack(bus_ids[0])]), 0)

    def _of(self, net: anmjax.Network, k: int) -> TransmissionLine:
        self._net = net
        self.f_bus, self.t_bus = net.bus_ids[net.from_bus[k]], net.bus_ids[net.to_bus[k]]
        self.r, self.x, self.b, self.rate = net.r[k], net.x[k], net.b[k], net.rating[k]
        self.tap_magn, self.shift = net.tap[k], net.shift[k]
        self.tap = self.tap_magn * np.exp(1j * self.shift)
        port = two_port(branch_parameters(jax.tree.map(jnp.asarray, net)))
        self.series = complex(phasor.to_complex(port.transfer_to)[k]) * -self.tap
        self.shunt = complex(phasor.to_complex(port.shunt_to - port.transfer_to)[k]) - self.series
        return self

    def compute_currents(self, v_f: float, v_t: float) -> None:
        """Currents at both ends of the first branch of its network."""
        d = jnp.zeros((2, self._net.n_bus))
        d = d.at[:, self._net.from_bus[0]].set([v_f - 1, 0]).at[:, self._net.to_bus[0]].set([v_t - 1, 0])
        self.i_from, self.i_to = (complex(phasor.to_complex(i)[0]) for i in branch_currents(self._net, d))


LIMITS = ("p_max", "p_min", "q_max", "q_min", "p_plus", "p_minus", "q_plus", "q_minus")


@jax.jit
def done(net: anmjax.Network, soc: Any, wanted: Setpoints, delta_t: Any) -> Any:
    """What the devices of a network do."""
    return dispatch(net, soc, wanted, delta_t=delta_t)


class Device:
    """A device of a grid of three buses."""

    def __init__(self, spec: Any, bus_ids: list[int], base_mva: float) -> None:
        """Reads a row."""
        feeds = spec[1] if spec[2] == 0 and spec[1] in bus_ids else bus_ids[0]
        buses = [[i, 0 if i == feeds else 1, 10, 1.1, 0.9] for i in bus_ids]
        branches = [[feeds, i, 0.1, 0.1, 0, None, 1, 0] for i in bus_ids if i != feeds]
        net = read(base_mva, buses, branches, [spec] if spec[2] == 0 else [slack(feeds), spec])
        self._of(net, net.device_ids.index(int(spec[0])))

    def _of(self, net: anmjax.Network, k: int) -> Device:
        self._net, self._k = net, k
        self.dev_id, self.type = net.device_ids[k], net.device_kind[k]
        self.bus_id, self.is_slack = net.bus_ids[net.device_bus[k]], k == net.slack_device
        for name in (*LIMITS, "qp_ratio", "soc_max", "soc_min", "eff"):
            setattr(self, name, getattr(net, name)[k])
        self.p = self.q = self.soc = 0.0
        self._p_pot = self.p_max
        return self

    def _done(self, p: float, q: float = 0.0, delta_t: float = 1.0) -> Any:
        """What it does by these set-points, alone in its grid."""
        net = self._net
        load, generator, storage = (jnp.zeros(len(x)) for x in (net.loads, net.generators, net.storage))
        asked = (jnp.full(len(generator) + len(storage), x) for x in (p, q))
        wanted = Setpoints(load + p, generator + self._p_pot, *asked)
        return done(net, storage + self.soc, wanted, delta_t)

    def map_pq(self, p: float, q: float = 0.0, delta_t: float = 1.0) -> None:
        """Does what is nearest to a set-point."""
        made = self._done(p, q, delta_t)
        self.p, self.q = float(made.p[self._k]), float(made.q[self._k])

    def update_soc(self, delta_t: float) -> None:
        """Charges or discharges for one step."""
        self.soc = float(self._done(self.p, self.q, delta_t).soc[0])

    @property
    def p_pot(self) -> float:
        """What a generator could give."""
        return float(self._p_pot)

    @p_pot.setter
    def p_pot(self, value: float) -> None:
        self._p_pot = value
        self._p_pot = float(self._done(0.0).p_potential[0])

    def _line(self, of: int, beyond: bool) -> tuple[float, float]:
        """Slope, and Q at P = 0, of a straight piece that closes its region: of the largest or least Q."""
        start, end = (self.p_plus, self.p_max) if beyond else (self.p_minus, self.p_min)
        net = self._net
        nothing = (jnp.zeros(len(x)) for x in (net.storage, net.generators))
        limits = reach(net, *nothing, delta_t=1.0).limits
        at = [float(reactive_range(jnp.array([p]), limits)[of][0]) for p in (start, end)]
        slope = 0.0 if end == start else (at[1] - at[0]) / (end - start)
        return slope, at[0] - slope * start

    tau_1, rho_1 = (property(lambda self, i=i: self._line(1, True)[i]) for i in range(2))
    tau_2, rho_2 = (property(lambda self, i=i: self._line(0, True)[i]) for i in range(2))
    tau_3, rho_3 = (property(lambda self, i=i: self._line(0, False)[i]) for i in range(2))
    tau_4, rho_4 = (property(lambda self, i=i: self._line(1, False)[i]) for i in range(2))


class Simulator:
    """A grid whose injections a test sets, by the adapter's view of it."""

    def __init__(self, network: dict[str, Any], delta_t: float, lamb: float) -> None:
        """Reads the network."""
        self.network = net = read(*(network[name] for name in ("baseMVA", "bus", "branch", "device")))
        self.delta_t, self.lamb = delta_t, lamb
        self._view = View(net, delta_t, lamb)
        of_buses = {name: self._view.state_bounds[f"bus_{name}"] for name in ("p", "q")}
        self.devices = {i: Device.__new__(Device)._of(net, k) for k, i in enumerate(net.device_ids)}
        self.branches = {
            (line.f_bus, line.t_bus): line
            for line in (TransmissionLine.__new__(TransmissionLine)._of(net, k) for k in range(net.n_branch))
        }
        self.buses = {}
        for k, bus in enumerate(net.bus_ids):
            (p_min, p_max), (q_min, q_max) = (of_buses[name][bus]["pu"] for name in ("p", "q"))
            limits = {"p_min": p_min, "p_max": p_max, "q_min": q_min, "q_max": q_max}
            self.buses[bus] = types.SimpleNamespace(
                id=bus, is_slack=k in net.slacks, p=0.0, q=0.0, v=1.0, i=0.0, **limits
            )

    def __getattr__(self, name: str) -> Any:
        """Sizes, bounds, spaces: of the adapter's view."""
        return getattr(self._view, name)

    @property
    def Y_bus(self) -> sparse.csr_matrix:
        """(n_bus, n_bus) admittance matrix, of what the branches' ends take."""
        net, port = self.network, two_port(branch_parameters(jax.tree.map(jnp.asarray, self.network)))
        matrix = np.zeros((net.n_bus, net.n_bus), complex)
        ends = ((net.from_bus, net.to_bus, "from"), (net.to_bus, net.from_bus, "to"))
        for here, there, name in ends:
            transfer, shunt = (
                np.asarray(phasor.to_complex(getattr(port, f"{x}_{name}"))) for x in ("transfer", "shunt")
            )
            np.add.at(matrix, (np.array(here), np.array(there)), transfer)
            np.add.at(matrix, (np.array(here), np.array(here)), shunt - transfer)
        return sparse.csr_matrix(matrix)

    def _of_devices(self, name: str) -> jax.Array:
        return jnp.array([getattr(device, name) for device in self.devices.values()])

    def _get_bus_total_injections(self) -> None:
        p, q = injected(self.network, self._of_devices("p"), self._of_devices("q"))
        for k, bus in enumerate(self.buses.values()):
            bus.p, bus.q = float(p[k]), float(q[k])

    def _compute_reward(self) -> tuple[float, float, float]:
        net = self.network
        v = jnp.array([complex(bus.v) for bus in self.buses.values()])
        potential = jnp.array([self.devices[net.device_ids[k]].p_pot for k in net.generators])
        grid = self._grid(v, potential)
        solution = Solution(v.real - 1, v.imag, grid.mismatch, grid.converged, jnp.array(0))
        cost = costs(jax.tree.map(jnp.asarray, net), grid, solution, delta_t=self.delta_t)
        weight, clipping = self.delta_t * self.lamb, (np.inf, np.inf)
        e_loss, penalty, reward = reward_of(
            cost, grid.converged, kind="penalized", weight=weight, clipping=clipping, gamma=0.9
        )
        return float(reward), float(e_loss), float(penalty)

    def _grid(self, v: jax.Array, potential: jax.Array) -> GridState:
        soc = jnp.array([self.devices[self.network.device_ids[k]].soc for k in self.network.storage])
        p, q = self._of_devices("p"), self._of_devices("q")
        return GridState(p, q, soc, potential, v, jnp.array(0.0), jnp.array(True))

    def reset(self, s0: Any) -> None:
        """Starts from a state vector, in MW, MVAr and MWh."""
        net = self.network
        env: Any = anmjax.ANMEnv(net, "state", 0, self.delta_t, 0.9, self.lamb)
        sizes = (net.n_device, net.n_device, len(net.storage), len(net.generators))
        vector = np.array(s0[: sum(sizes)], float)
        parts = [jnp.array(x) for x in np.split(vector, np.cumsum(sizes)[:-1])]
        grid = env.reset_to(jax.random.key(0), InitialState(*parts, jnp.zeros(0))).grid
        for k, device in enumerate(self.devices.values()):
            device.p, device.q = float(grid.p[k]), float(grid.q[k])
        for k, soc in zip(net.storage, grid.soc, strict=True):
            self.devices[net.device_ids[k]].soc = float(soc)
        self._show(grid.v)

    def _show(self, v: jax.Array) -> None:
        """Fills buses, branches and the slack's device in, by the adapter's view of what voltages bring."""
        net = self.network
        flows, d = branch_flows(net, v), jnp.stack([v.real - 1, v.imag])
        ends = [phasor.to_complex(i) for i in branch_currents(net, d)]
        sent = jnp.zeros(net.n_bus, complex).at[np.array(net.from_bus)].add(flows.s_from)
        sent = sent.at[np.array(net.to_bus)].add(flows.s_to)
        feeder = self.devices[net.device_ids[net.slack_device]]
        feeder.p, feeder.q = float(sent[net.slack].real), float(sent[net.slack].imag)
        grid = self._grid(v, jnp.zeros(len(net.generators)))
        state = View(net, self.delta_t, self.lamb, grid).state
        for k, (i, bus) in enumerate(self.buses.items()):
            bus.p, bus.q, bus.v = state["bus_p"]["pu"][i], state["bus_q"]["pu"][i], complex(v[k])
            bus.i = state["bus_i_magn"]["pu"][i] * np.exp(1j * state["bus_i_ang"]["rad"][i])
        for k, (i, branch) in enumerate(self.branches.items()):
            branch.p_from, branch.q_from = state["branch_p"]["pu"][i], state["branch_q"]["pu"][i]
            branch.p_to, branch.q_to = float(flows.s_to[k].real), float(flows.s_to[k].imag)
            branch.i_from, branch.i_to = (complex(end[k]) for end in ends)
            branch.s_apparent_max = state["branch_s"]["pu"][i]


def solve_pfe_newton_raphson(simulator: Simulator) -> None:
    """Solves the power flow of what the buses inject."""
    p, q = (jnp.array([getattr(bus, name) for bus in simulator.buses.values()]) for name in ("p", "q"))
    simulator._show(anmjax.power_flow(simulator.network, p, q).v)


@contextmanager
def named() -> Iterator[None]:
    """Modules by gym-anm's names, for as long as this lasts."""
    errors = {
        **{error.__name__: error for error in ERRORS.values()},
        **{f"{kind}SpecError": DeviceSpecError for kind in ("Load", "Gen", "Storage")},
    }
    kinds = {"Load": Device, "Generator": Device, "StorageUnit": Device, "Device": Device}
    contents: dict[str, dict[str, Any]] = {
        "gym_anm": {},
        "gym_anm.simulator": {"Simulator": Simulator},
        "gym_anm.simulator.solve_load_flow": {"solve_pfe_newton_raphson": solve_pfe_newton_raphson},
        "gym_anm.simulator.components": {"Bus": Bus, "TransmissionLine": TransmissionLine, **kinds},
        "gym_anm.simulator.components.errors": errors,
    }
    modules = {}
    for name, members in contents.items():
        modules[name] = types.ModuleType(name)
        modules[name].__dict__.update(members)
    with mock.patch.dict(sys.modules, modules):
        yield

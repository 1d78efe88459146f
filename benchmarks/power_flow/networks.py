"""The networks that power flows are measured on, by name: pandapower's, or as packaged files without it.

``python -m benchmarks.power_flow.networks`` writes the files anew from the pandapower that is installed.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import random
import warnings
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from anmjax import Network

PACKAGED = Path(__file__).parent / "networks"
BRANCH_LEAVES = ("r", "x", "g", "b", "rating", "tap", "shift", "in_service")

# Name here -> name in pandapower.networks.
FACTORIES = {
    "case4gs": "case4gs",
    "case6ww": "case6ww",
    "case9": "case9",
    "case14": "case14",
    "case30": "case30",
    "case33bw": "case33bw",
    "case39": "case39",
    "case57": "case57",
    "case118": "case118",
    "case_illinois200": "case_illinois200",
    "case300": "case300",
    "case1354pegase": "case1354pegase",
    "case2869pegase": "case2869pegase",
    "cigre_mv": "create_cigre_network_mv",
    "cigre_lv": "create_cigre_network_lv",
    "kerber_land_overhead_1": "create_kerber_landnetz_freileitung_1",
    "kerber_land_overhead_2": "create_kerber_landnetz_freileitung_2",
    "kerber_land_cable_1": "create_kerber_landnetz_kabel_1",
    "kerber_land_cable_2": "create_kerber_landnetz_kabel_2",
    "kerber_village": "create_kerber_dorfnetz",
    "kerber_suburb_1": "create_kerber_vorstadtnetz_kabel_1",
    "kerber_suburb_2": "create_kerber_vorstadtnetz_kabel_2",
}
# Those that are timed, smallest first.
TIMED = ("cigre_mv", "case33bw", "cigre_lv", "kerber_village", "case118", "case1354pegase", "case2869pegase")
PACKED = (*TIMED, "case14")  # of the last, a try of the outages


def has_pandapower() -> bool:
    """Whether pandapower is installed."""
    return importlib.util.find_spec("pandapower") is not None


def pandapower_net(name: str) -> Any:
    """The pandapower net of that name, the same in every call.

    Kerber's village and suburbs draw the cables of their house connections at random: here always the same.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas deprecations inside pandapower
        import pandapower.networks

        random.seed(0)
        return getattr(pandapower.networks, FACTORIES[name])()


def packaged(name: str) -> Path:
    """The file that holds a network, whether it exists or not."""
    return PACKAGED / f"{name}.npz"


def load(name: str) -> Network:
    """The network of that name, with the phase shifts of its transformers.

    Args:
      name: a key of ``FACTORIES``.

    Raises:
      FileNotFoundError: pandapower is not installed and the network is not packaged.
    """
    if has_pandapower():
        return _for_power_flows(pandapower_net(name))
    with np.load(packaged(name), allow_pickle=False) as arrays:
        kept = [field for field in fields(Network) if field.name in arrays]
        return Network(**{field.name: _unpack(field, arrays[field.name]) for field in kept})


def _for_power_flows(net: Any) -> Network:
    """The network without devices and names, which a power flow does not ask for."""
    network = Network.from_pandapower(net, devices=False)
    nothing: dict[str, Any] = dict.fromkeys(("p_device", "q_device", "p_fixed", "q_fixed"))
    nothing |= dict.fromkeys(("bus_names", "branch_names", "device_names"), ())
    return replace(network, **nothing)


@functools.cache
def load_timed(name: str) -> Network:
    """The network of that name as it is timed: what is solved, and nothing else.

    Branches out of service are left out, as every program leaves them out. So are the phase shifts of the
    transformers of feeders, an option of pandapower's too: they turn whole voltage levels and change nothing
    else, but with them few programs get from equal angles to a solution.
    """
    net = load(name)
    on = np.flatnonzero(net.in_service)
    leaves: dict[str, Any] = {name: getattr(net, name)[on] for name in BRANCH_LEAVES}
    if not net.pv:
        leaves["shift"] = np.zeros(len(on))
    ends = [tuple(end[k] for k in on) for end in (net.from_bus, net.to_bus)]
    return replace(net, **leaves, from_bus=ends[0], to_bus=ends[1])


def save(name: str, net: Network) -> Path:
    """Packages a network, and says where."""
    PACKAGED.mkdir(exist_ok=True)
    values = {field.name: getattr(net, field.name) for field in fields(Network)}
    np.savez_compressed(packaged(name), **{key: x for key, x in values.items() if x is not None})
    return packaged(name)


def _unpack(field: Any, array: np.ndarray) -> Any:
    """A field of a network from its array: statics are tuples of integers."""
    return array if field.metadata.get("pytree_node", True) else tuple(int(i) for i in array)


def main() -> None:
    """Packages the timed networks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.power_flow.networks", description=__doc__)
    parser.add_argument("names", nargs="*", default=PACKED, help="default: those timed, and one for a try")
    for name in parser.parse_args().names:
        path = save(name, _for_power_flows(pandapower_net(name)))
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()

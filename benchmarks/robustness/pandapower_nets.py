"""Does every net that pandapower ships import, and do our voltages agree with its own?

Every function of ``pandapower.networks`` that makes a net is called without arguments, and with those that
make another net. pandapower solves to a tolerance far below what is asked of us, with voltage angles, from
the start that it chooses itself or else from another; we solve what was imported from it.
"""

from __future__ import annotations

import argparse
import inspect
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

import anmjax
from anmjax.grid.pandapower_net.reading import pandapower_bus_index
from benchmarks.harness import command_line, record
from benchmarks.power_flow.peers.pandapower import read_voltages

# Functions that make no net by themselves.
NO_NETS = ("sorted_from_json", "create_dickert_lv_feeders")
_SYNTHETIC = ("rural_2", "village_1", "village_2", "suburb_1")
# Arguments that make another net.
VARIANTS: dict[str, tuple[dict[str, Any], ...]] = {
    "create_cigre_network_mv": ({"with_der": "pv_wind"}, {"with_der": "all"}),
    "create_dickert_lv_network": (
        {"case": "bad"},
        *({"feeders_range": of, "customer": "multiple", "case": "bad"} for of in ("short", "middle", "long")),
        *({"feeders_range": of, "linetype": "C&OHL", "customer": "multiple"} for of in ("middle", "long")),
    ),
    "create_synthetic_voltage_control_lv_network": tuple({"network_class": kind} for kind in _SYNTHETIC),
    "ieee_european_lv_asymmetric": ({"scenario": "off_peak_1"}, {"scenario": "off_peak_1440"}),
    "lv_schutterwald": ({"include_heat_pumps": True}, {"separation_by_sub": True}),
    "mv_oberrhein": (
        {"scenario": "generation"},
        {"include_substations": True},
        {"scenario": "generation", "include_substations": True},
        {"separation_by_sub": True},
    ),
}
STARTS = ("auto", "flat", "dc")  # of pandapower; auto is its default
TOLERANCES = (1e-11, 1e-10, 1e-9, 1e-8)  # MVA a bus; tightest first: roundoff keeps it from some
MAX_ITERATIONS = 50
AGREES = 1e-8  # p.u., largest difference of a voltage magnitude
TOL, NUM_ITERS = 1e-10, 30  # p.u. and updates, ours
SMOKE = ("case9", "mv_oberrhein")


def factories() -> dict[str, Callable[..., Any]]:
    """Functions of ``pandapower.networks`` that make a net, by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandapower's own notices on import
        import pandapower.networks
    found = inspect.getmembers(pandapower.networks, inspect.isfunction)
    return {
        name: function
        for name, function in found
        if function.__module__.startswith("pandapower.networks.") and name[0] != "_" and name not in NO_NETS
    }


def nets(name: str) -> Iterator[tuple[str, Any]]:
    """The nets that one function makes, each with the call that makes it.

    Kerber's village and suburbs draw the cables of their house connections at random: here always the same.
    """
    for arguments in ({}, *VARIANTS.get(name, ())):
        call = f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pandas deprecations inside pandapower
            random.seed(0)
            made = factories()[name](**arguments)
        if isinstance(made, (list, tuple)):
            yield from ((f"{call}[{k}]", net) for k, net in enumerate(made))
        else:
            yield call, made


def solve(net: Any) -> tuple[str, float]:
    """Solves a net with pandapower, as tightly as it can.

    Returns:
      The start and the tolerance, MVA.

    Raises:
      RuntimeError: pandapower finds no solution.
    """
    import pandapower

    for start in STARTS:
        for tolerance in TOLERANCES:
            try:
                pandapower.runpp(
                    net,
                    init=start,
                    calculate_voltage_angles=True,
                    tolerance_mva=tolerance,
                    max_iteration=MAX_ITERATIONS,
                )
            except pandapower.LoadflowNotConverged:
                continue
            return start, tolerance
    raise RuntimeError(f"runpp finds no solution from {', '.join(STARTS)}")


def compare(call: str, net: Any) -> dict[str, Any]:
    """The row of one net: whether it imports, and how far our voltages are from pandapower's."""
    row: dict[str, Any] = {"net": call, "n_bus": len(net.bus), "reason": None}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            network = anmjax.Network.from_pandapower(net)
        except anmjax.NetworkError as error:
            return {**row, "reason": str(error.faults[0])}
        index = pandapower_bus_index(net)
    row["warnings"] = sorted(
        {type(w.message).__name__ for w in caught if "anmjax" in type(w.message).__module__}
    )
    row |= {"n_bus": network.n_bus, "n_branch": network.n_branch, "n_slack": len(network.slacks)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            start, tolerance = solve(net)
        except RuntimeError as error:
            return {**row, "reason": str(error)}
    expected = np.full(network.n_bus, np.nan, complex)
    read_voltages(net, index, expected)
    for ours in ("flat", "dc"):
        flow = anmjax.power_flow(network, network.p, network.q, num_iters=NUM_ITERS, tol=TOL, init=ours)
        v = np.asarray(flow.v)
        difference = float(np.nanmax(np.abs(np.abs(v) - np.abs(expected))))
        turned = float(np.nanmax(np.abs(np.angle(v * expected.conj()))))
        found = {
            "start": start,
            "pandapower_tol": tolerance,
            "our_start": ours,
            "converged": bool(flow.converged),
            "mismatch_pu": float(flow.mismatch),
            "max_dvm_pu": difference,
            "max_dva_rad": turned,
        }
        if flow.converged and difference <= AGREES:
            return row | found
    reason = "ours is another solution" if flow.converged else "ours finds no solution from flat, dc"
    return row | found | {"reason": reason}


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.robustness.pandapower_nets", description=__doc__
    )
    parser.add_argument("--nets", nargs="+", help="functions of pandapower.networks (default: all)")
    command_line.add_record(parser)
    options = parser.parse_args(arguments)
    options.nets = options.nets or (list(SMOKE) if options.smoke else list(factories()))
    if unknown := set(options.nets) - set(factories()):
        parser.error(
            f"argument --nets: no such function in pandapower.networks: {', '.join(sorted(unknown))}"
        )
    return options


def main() -> None:
    """Runs the comparison."""
    options = parse()
    jax.config.update("jax_enable_x64", True)
    rows = []
    for name in options.nets:
        for call, net in nets(name):
            rows.append(row := compare(call, net))
            said = row["reason"] or f"|V| {row['max_dvm_pu']:.1e} p.u., angle {row['max_dva_rad']:.1e} rad"
            print(f"{call}, {row['n_bus']} buses: {said}", flush=True)
            jax.clear_caches()  # no two of them share a program, and all together take gigabytes
    if options.out or not options.smoke:
        made = record.make("robustness.pandapower_nets", rows, agrees_pu=AGREES)
        record.write(made, options.out)


if __name__ == "__main__":
    main()

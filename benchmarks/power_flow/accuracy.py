"""How far are our voltages from pandapower's, in both precisions, and how many Newton updates does it take?

pandapower solves to a tolerance far below what is asked of us, with voltage angles, so that its own error
does not count. Both start from equal angles; where pandapower finds no solution from there, both from the DC
power flow's.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import anmjax
from anmjax.grid.pandapower_net.reading import pandapower_bus_index
from benchmarks.harness import command_line, record
from benchmarks.power_flow import networks
from benchmarks.power_flow.balance import PowerBalance
from benchmarks.power_flow.peers.pandapower import read_voltages

# p.u., which pandapower's tolerance_mva is compared in; tightest first: roundoff keeps it from some.
REFERENCE_TOLERANCES = (1e-11, 1e-10, 1e-9, 1e-8)
REFERENCE_ITERATIONS = 50
STARTS = ("flat", "dc")
TOL = {"float64": 1e-10, "float32": 1e-5}  # p.u., ours
NUM_ITERS = 30  # more than any needs: accuracy is asked for here, not speed
SMOKE = ("case9", "cigre_lv")

LOADED = ("ANM6", "case33bw", "case118")
LOADING_TOL = 1e-6  # p.u.
SHARES = (0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999)  # of the largest loading with a solution
MOST_UPDATES = 24


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.power_flow.accuracy", description=__doc__)
    parser.add_argument("--networks", nargs="+", default=list(networks.FACTORIES), choices=networks.FACTORIES)
    parser.add_argument("--loaded", nargs="*", default=list(LOADED), choices=LOADED)
    command_line.add_record(parser)
    options = parser.parse_args(arguments)
    if options.smoke:
        options.networks, options.loaded = list(SMOKE), []
    return options


def reference(name: str) -> tuple[Any, np.ndarray, dict[str, Any]]:
    """Solves a network with pandapower.

    Args:
      name: a network of pandapower's.

    Returns:
      The network; its voltages (n_bus,) complex p.u., NaN at buses that pandapower made for itself; and how
      they were found.

    Raises:
      RuntimeError: pandapower finds no solution.
    """
    import pandapower

    source = networks.pandapower_net(name)
    net = anmjax.Network.from_pandapower(source, devices=False)
    index = pandapower_bus_index(source)
    for start in STARTS:
        for tolerance in REFERENCE_TOLERANCES:
            try:
                pandapower.runpp(
                    source,
                    init=start,
                    calculate_voltage_angles=True,
                    tolerance_mva=tolerance,
                    max_iteration=REFERENCE_ITERATIONS,
                )
            except pandapower.LoadflowNotConverged:
                continue
            v = np.full(net.n_bus, np.nan, complex)
            read_voltages(source, index, v)
            iterations = int(source._ppc["iterations"])
            return net, v, {"start": start, "pandapower_tol": tolerance, "pandapower_iterations": iterations}
    raise RuntimeError(f"{name}: pandapower finds no solution from {' or '.join(STARTS)} start")


def compare(name: str) -> dict[str, Any]:
    """The row of one network: ours in both precisions against pandapower's."""
    net, expected, how = reference(name)
    row = {"network": name, "n_bus": net.n_bus, "n_branch": net.n_branch, "n_pv": len(net.pv), **how}
    balance = PowerBalance(net)
    for dtype, tol in TOL.items():
        cast = net.astype(dtype)
        result = anmjax.power_flow(cast, cast.p, cast.q, num_iters=NUM_ITERS, tol=tol, init=how["start"])
        v = np.asarray(result.v).astype(complex)
        with np.errstate(invalid="ignore"):  # NaN where pandapower has a bus of its own
            turn = np.angle(v / expected)
        row[dtype] = {
            "tol": tol,
            "converged": bool(result.converged),
            "max_dvm_pu": float(np.nanmax(np.abs(np.abs(v) - np.abs(expected)))),
            "max_dva_rad": float(np.nanmax(np.abs(turn))),
            "mismatch_pu": float(result.mismatch),
            "mismatch_in_float64_pu": float(balance.mismatch(v[None], net.p, net.q)[0]),
        }
    return row


def loaded_case(name: str) -> anmjax.Network:
    """A network with injections to multiply: the case's own, or in ANM6 all loads at their largest."""
    if name != "ANM6":
        return networks.load_timed(name)
    net = anmjax.Network.from_json("anm6")
    p, q = np.zeros(net.n_bus), np.zeros(net.n_bus)
    for k in net.loads:
        p[net.device_bus[k]] += net.p_min[k]
        q[net.device_bus[k]] += net.qp_ratio[k] * net.p_min[k]
    return replace(net, p=p, q=q)


def largest_loading(solves: Callable[[float], bool]) -> float:
    """The largest multiple of the injections that is solved, by bisection to 12 digits.

    Args:
      solves: whether a multiple has a solution; the case itself has.
    """
    low, high = 1.0, 2.0
    while solves(high):
        low, high = high, 2 * high
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if solves(middle) else (low, middle)
    return low


def updates_needed(name: str) -> list[dict[str, Any]]:
    """Newton updates from equal angles to ``LOADING_TOL``, against loading.

    Args:
      name: one of ``LOADED``.

    Returns:
      A row for each of ``SHARES``: the loading as a multiple of the case's and as a share of the largest, and
      the updates, None where ``MOST_UPDATES`` were not enough.
    """
    net = loaded_case(name)

    @jax.jit
    @jax.vmap
    def solve(loading: jax.Array) -> tuple[jax.Array, jax.Array]:
        p, q = loading * net.p, loading * net.q
        flow = anmjax.power_flow(net, p, q, num_iters=MOST_UPDATES, tol=LOADING_TOL)
        return flow.converged, flow.iterations

    largest = largest_loading(lambda loading: bool(solve(jnp.array([loading]))[0][0]))
    loadings = largest * np.array(SHARES)
    solved, iterations = jax.device_get(solve(loadings))
    needed = [int(updates) if found else None for found, updates in zip(solved, iterations, strict=True)]
    return [
        {"network": name, "loading": loading, "share_of_largest": share, "updates": updates}
        for loading, share, updates in zip(loadings.tolist(), SHARES, needed, strict=True)
    ]


def main() -> None:
    """Runs the comparison."""
    options = parse()
    jax.config.update("jax_enable_x64", True)
    rows = []
    for name in options.networks:
        rows.append(row := compare(name))
        errors = ", ".join(
            f"{dtype} |V| {row[dtype]['max_dvm_pu']:.1e} p.u., angle {row[dtype]['max_dva_rad']:.1e} rad"
            for dtype in TOL
        )
        print(f"{name:24s} {row['n_bus']:5d} buses from {row['start']:4s}: {errors}", flush=True)
    loading = [row for name in options.loaded for row in updates_needed(name)]
    for found in loading:
        print(f"{found['network']:24s} at {found['loading']:8.4f}: {found['updates']} updates", flush=True)
    if options.out or not options.smoke:
        made = record.make("power_flow.accuracy", rows, loading=loading, loading_tol=LOADING_TOL)
        record.write(made, options.out)


if __name__ == "__main__":
    main()

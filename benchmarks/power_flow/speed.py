"""How many power flows a second, against batch size, network and other power flow programs?

Every lane is a scenario of its own: the network's injections at a random level, each bus off it at random.
Lanes are spread over all devices with ``shard_map``; on a CPU every core is made a JAX device of its own.
Peers solve the same scenarios at the same tolerance in turn with ours, on as many threads as there are cores.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

import anmjax
from benchmarks.harness import command_line, record
from benchmarks.harness.timing import interleave
from benchmarks.power_flow import networks, outages
from benchmarks.power_flow.balance import PowerBalance
from benchmarks.power_flow.lanes import Lanes, judge, largest_gap, peer_rate
from benchmarks.power_flow.peers import Peer, peers
from benchmarks.power_flow.peers.pandapower import Pandapower

BATCHES = (1, 16, 256, 1024, 4096, 16384)
# Buses in one call at most: beyond it a batch is left out.
MAX_BUSES = 2_100_000
SMOKE = ("case33bw",)
# Scenarios that a peer is given at most: its rate no longer depends on their number.
PEER_BATCH = 1024
# p.u., how far ours may be from a peer's, unless the tolerance moves voltages further, and largest mismatch
# of a solution: single precision has 7 digits.
SAME_V = {"float64": 1e-5, "float32": 1e-3}
TOL = {"float64": 1e-6, "float32": 1e-5}
OUTAGES = ("case118", "case1354pegase")  # of which every branch is taken out
WHAT = {"forward": "flat", "forward, warm": "warm", "with gradient": "flat"}


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.power_flow", description=__doc__)
    parser.add_argument("--networks", nargs="+", default=list(networks.TIMED), choices=networks.FACTORIES)
    parser.add_argument("--batches", type=int, nargs="+", default=list(BATCHES), metavar="LANES")
    parser.add_argument("--max-buses", type=int, default=MAX_BUSES, help="buses in one call at most")
    parser.add_argument("--what", nargs="+", default=list(WHAT), choices=WHAT)
    parser.add_argument("--dtypes", nargs="+", choices=TOL, default=["float64"])
    parser.add_argument("--num-iters", type=int, help="Newton updates at most (default: the solver's)")
    parser.add_argument(
        "--outages", nargs="*", default=["case118", "case1354pegase"], choices=networks.FACTORIES
    )
    command_line.add_timing(parser, seconds=0.3, repeats=5)
    command_line.add_devices(parser)
    command_line.add_budget(parser)
    parser.add_argument("--no-peers", action="store_true", help="leave other programs out")
    command_line.add_record(parser)
    options = parser.parse_args(arguments)
    if options.smoke:
        options.networks, options.batches, options.outages = list(SMOKE), [16], ["case14"]
        options.seconds, options.repeats = 0.02, 2
    return options


def of_dtype(options: argparse.Namespace, dtype: str) -> argparse.Namespace:
    """The options of the measurements in one precision."""
    return argparse.Namespace(**vars(options) | {"dtype": dtype, "tol": TOL[dtype]})


def scenarios(net: anmjax.Network, batch: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random injections around those of the case: a level for all buses, and each bus off it by itself.

    One level for load and generation keeps them in balance, which a large network needs to have a solution.

    Args:
      net: network.
      batch: scenarios.
      seed: of the random numbers.

    Returns:
      ``p`` and ``q``, (batch, n_bus) p.u., between 0.45 and 1.21 times the case's.
    """
    random = np.random.default_rng(seed)
    factor = random.uniform(0.5, 1.1, (batch, 1)) * random.uniform(0.9, 1.1, (batch, net.n_bus))
    return factor * net.p, factor * net.q


def programs(net: anmjax.Network, options: argparse.Namespace) -> dict[str, Callable[..., Any]]:
    """The functions that are timed, of ``p`` and ``q``, (batch, n_bus) p.u.

    ``forward`` gives the voltages and flags, starting from equal angles or (``warm``) from the solution of
    the case itself. ``with gradient`` adds the gradient of the sum of squared voltages in all injections.
    """
    cast = net.astype(options.dtype)
    limits = {"tol": options.tol} | ({"num_iters": options.num_iters} if options.num_iters else {})

    def solver(**start: Any) -> Callable[..., Any]:
        def solve(p: jax.Array, q: jax.Array) -> tuple[jax.Array, jax.Array]:
            result = anmjax.power_flow(cast, p, q, **limits, **start)
            return result.v, result.converged

        return jax.vmap(solve)

    def with_gradient(p: jax.Array, q: jax.Array) -> Any:
        def objective(p: jax.Array, q: jax.Array) -> Any:
            v, converged = flat(p, q)
            return jnp.sum(v.real**2 + v.imag**2), (v, converged)

        (_, solution), gradient = jax.value_and_grad(objective, (0, 1), has_aux=True)(p, q)
        return *solution, gradient

    flat = solver()
    chosen: dict[str, Callable[..., Any]] = {"forward": flat, "with gradient": with_gradient}
    if "forward, warm" in options.what:
        case = jax.jit(lambda p, q: anmjax.power_flow(cast, p, q, **limits))(cast.p, cast.q)
        chosen["forward, warm"] = solver(init=case.v)
    return {name: chosen[name] for name in options.what}


def measure(name: str, net: anmjax.Network, batch: int, mesh: Mesh, options: argparse.Namespace) -> list[Any]:
    """Measures one network and batch, ours and the peers in turn.

    Raises:
      RuntimeError: a peer's voltages are not ours.
    """
    p, q = scenarios(net, batch)
    few = slice(min(batch, PEER_BATCH))
    others = {} if options.no_peers else peers(net, p[few], q[few], tol=options.tol, threads=mesh.size)
    if batch == min(options.batches) and networks.has_pandapower() and not options.no_peers:
        others |= pandapower_peer(name, net, p, q, options.tol)
    lanes = {
        what: Lanes(call, [x.astype(options.dtype) for x in (p, q)], mesh, options.seconds)
        for what, call in programs(net, options).items()
    }
    balance = PowerBalance(net)
    found = {what: lane.solution() for what, lane in lanes.items()}
    quality = {what: judge(balance, *solution, p, q) for what, solution in found.items()}
    gaps: dict[str, dict[str, float]] = {what: {} for what in lanes}
    for peer_name, peer in others.items():
        peer.solve()
        theirs = peer.voltages()
        quality[peer_name] = judge(balance, theirs, np.isfinite(theirs).any(1), p, q)
        for what, (v, converged) in found.items():
            gap = largest_gap(v[: len(theirs)], theirs, converged[: len(theirs)])
            gaps[what][peer_name] = gap
            if gap > SAME_V[options.dtype] and gap > 2 * options.tol * response(net):
                raise RuntimeError(
                    f"{name}, {what}: voltages are {gap:.1e} p.u. away from those of {peer_name}"
                )
    rates = interleave(
        {what: lane.solves_per_s for what, lane in lanes.items()}
        | {peer_name: peer_rate(peer, options.seconds) for peer_name, peer in others.items()},
        options.repeats,
    )
    about = {"network": name, "n_bus": net.n_bus, "n_branch": net.n_branch, "n_pv": len(net.pv)}
    rows: list[dict[str, Any]] = []
    for what, lane in lanes.items():
        rows.append(
            {
                **about,
                "solver": "anmjax",
                "what": what,
                "start": WHAT[what],
                "batch": batch,
                "dtype": options.dtype,
                "device": mesh.devices.flat[0].device_kind,
                "tol": options.tol,
                "solves_per_s": rates[what].to_dict(),
                **lane.to_dict(),
                **quality[what],
                "max_dv_pu": gaps[what],
                "ratio": {other: rates[what].median / rates[other].median for other in others},
            }
        )
    for peer_name, peer in others.items():
        row: dict[str, Any] = {**about, "solver": peer_name, "batch": peer.batch, "threads": peer.threads}
        row |= {"solves_per_s": rates[peer_name].to_dict(), **quality[peer_name], **peer.settings}
        rows.append(row | {"tol": options.tol})
    for row in rows:
        rate = rates[row.get("what", row["solver"])].median
        label = f"{name:16s} {batch:6d} {row['solver']}{', ' + row['what'] if 'what' in row else ''}"
        print(f"{label:64s}: {rate:14,.0f} solves/s", flush=True)
    return rows


def response(net: anmjax.Network) -> float:
    """How far a mismatch of 1 p.u. at every bus moves a voltage at most, of the case itself."""

    def voltages(p: jax.Array, q: jax.Array) -> jax.Array:
        return anmjax.power_flow(net, p, q, tol=TOL["float64"]).v

    case = [jnp.asarray(x) for x in (net.p, net.q)]
    return float(jnp.abs(jax.jvp(voltages, case, [jnp.ones_like(x) for x in case])[1]).max())


def pandapower_peer(
    name: str, net: anmjax.Network, p: np.ndarray, q: np.ndarray, tol: float
) -> dict[str, Peer]:
    """The peer pandapower with the first few scenarios."""
    return {"pandapower": Pandapower(networks.pandapower_net(name), net, p, q, tol=tol)}


def main() -> None:
    """Runs the benchmark."""
    start, options = time.perf_counter(), parse()
    load = os.getloadavg()[0]
    jax.config.update("jax_enable_x64", "float64" in options.dtypes)
    mesh = command_line.mesh_of(options.devices)
    print(f"power flow on {record.machine()}", flush=True)
    rows: list[dict[str, Any]] = []
    left_out: list[str] = []
    for name, batch, dtype in plan(options):
        if time.perf_counter() - start > options.budget:
            left_out.append(f"{name}, {batch or 'outages'}, {dtype}")
        elif batch is None:
            rows += outages.measure(name, mesh, of_dtype(options, dtype))
        else:
            rows += measure(name, networks.load_timed(name), batch, mesh, of_dtype(options, dtype))
    summary = {"dtypes": options.dtypes, "tol": TOL, "load_average_before": load, "left_out": left_out}
    print(f"left out: {left_out}" if left_out else "nothing left out", flush=True)
    if options.out or not options.smoke:
        record.write(record.make("power_flow", rows, **summary), options.out)


def plan(options: argparse.Namespace) -> list[tuple[str, int | None, str]]:
    """What to measure, as network, batch (None: all single outages) and dtype, what matters most first."""
    sizes = {name: networks.load_timed(name).n_bus for name in options.networks}
    return [
        *((name, None, dtype) for dtype in options.dtypes for name in options.outages),
        *(
            (name, batch, dtype)
            for dtype in options.dtypes
            for name, n_bus in sizes.items()
            for batch in options.batches
            if batch * n_bus <= options.max_buses
        ),
    ]


if __name__ == "__main__":
    main()

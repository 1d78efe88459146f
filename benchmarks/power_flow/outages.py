"""Every single outage of a network in one call, beside lightsim2grid's contingency analysis."""

from __future__ import annotations

import argparse
import importlib.util
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

import anmjax
from benchmarks.harness.timing import interleave
from benchmarks.power_flow import networks
from benchmarks.power_flow.balance import PowerBalance
from benchmarks.power_flow.lanes import Lanes, peer_rate
from benchmarks.power_flow.peers.lightsim2grid import LightSim2GridOutages

PEER = "lightsim2grid, outages"


def measure(name: str, mesh: Mesh, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measures all single outages of a network, from the solution of the intact one, in turn with the peer.

    Args:
      name: a network.
      mesh: devices, on the axis ``lanes``.
      options: those of ``power_flow``.

    Raises:
      RuntimeError: an outage converges that splits the network.
    """
    net = networks.load_timed(name)
    cast = net.astype(options.dtype)
    intact = jax.jit(lambda p, q: anmjax.power_flow(cast, p, q, tol=options.tol))(cast.p, cast.q)

    def outages(branch: jax.Array) -> tuple[jax.Array, jax.Array]:
        found = anmjax.contingency_analysis(
            cast, cast.p, cast.q, outages=branch, tol=options.tol, init=intact.v
        )
        return found.v, found.converged

    # As many for every device: the last ones once more.
    shared = -(-net.n_branch // mesh.size) * mesh.size
    branch = np.minimum(np.arange(shared, dtype=np.int32), net.n_branch - 1)
    lanes = Lanes(outages, [branch], mesh, options.seconds)
    v, converged = (x[: net.n_branch] for x in lanes.solution())
    whole = np.array([is_whole(net, k) for k in range(net.n_branch)])
    if (converged & ~whole).any():
        wrong = np.flatnonzero(converged & ~whole).tolist()
        raise RuntimeError(f"{name}: outages of branches {wrong} converge and split the network")
    mismatch = max(
        PowerBalance(replace(net, in_service=(np.arange(net.n_branch) != k).astype(float))).mismatch(
            v[k : k + 1], net.p, net.q
        )[0]
        for k in np.flatnonzero(converged)
    )
    measured = {"anmjax": lanes.solves_per_s}
    gap = None
    if importlib.util.find_spec("lightsim2grid") and not options.no_peers:
        peer = LightSim2GridOutages(net, tol=options.tol, threads=mesh.size)
        peer.solve()
        gap = float(np.abs(v - peer.voltages())[converged].max())
        measured[PEER] = peer_rate(peer, options.seconds)
    rates = interleave(measured, options.repeats)
    for solver, rate in rates.items():
        print(f"{name}, all {net.n_branch} outages, {solver:24s}: {rate.median:14,.0f} solves/s", flush=True)
    about = {"network": name, "n_bus": net.n_bus, "n_branch": net.n_branch, "n_pv": len(net.pv)}
    about |= {"batch": net.n_branch, "what": "every outage", "start": "warm", "tol": options.tol}
    ours: dict[str, Any] = {
        **about,
        "solver": "anmjax",
        "dtype": options.dtype,
        "device": mesh.devices.flat[0].device_kind,
        "solves_per_s": rates["anmjax"].to_dict(),
        **lanes.to_dict(),
        "max_mismatch_pu": float(mismatch),
        "converged": float(np.mean(converged)),
        "islanding": int(np.sum(~whole)),
        "unsolved": int(np.sum(whole & ~converged)),
        "max_dv_pu": {PEER: gap} if PEER in rates else {},
        "ratio": {PEER: rates["anmjax"].median / rates[PEER].median} if PEER in rates else {},
    }
    if PEER not in rates:
        return [ours]
    return [ours, about | {"solver": PEER, "threads": mesh.size, "solves_per_s": rates[PEER].to_dict()}]


def is_whole(net: anmjax.Network, out: int) -> bool:
    """Whether every bus still has a path to the slack when branch ``out`` is open."""
    group = list(range(net.n_bus))

    def find(k: int) -> int:
        while group[k] != k:
            group[k] = group[group[k]]
            k = group[k]
        return k

    for k, (f, t) in enumerate(zip(net.from_bus, net.to_bus, strict=True)):
        if k != out and net.in_service[k]:
            group[find(f)] = find(t)
    return len({find(k) for k in range(net.n_bus)}) == 1

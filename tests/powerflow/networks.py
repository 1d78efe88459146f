"""Random networks and their dense admittance matrices, written independently of the package."""

from __future__ import annotations

import numpy as np

from anmjax.grid import Network


def loaded_feeder() -> tuple[Network, np.ndarray, np.ndarray]:
    """The Baran-Wu feeder with the nominal loads of its devices, (n_bus,) p.u. each."""
    net = Network.from_json("ieee33_baran_wu")
    p, q = np.zeros(net.n_bus), np.zeros(net.n_bus)
    for i in net.loads:
        p[net.device_bus[i]] += net.p_min[i]
        q[net.device_bus[i]] += net.p_min[i] * net.qp_ratio[i]
    return net, p, q


def random_network(rng: np.random.Generator, n_bus: int, extra_branches: int, parallel: int = 0) -> Network:
    """A connected network: a random tree, extra branches closing loops, some doubled; ids not 0..n-1."""
    tree = [(int(rng.integers(max(0, i - 3), i)), i) for i in range(1, n_bus)]
    others = [(i, j) for i in range(n_bus) for j in range(i + 1, n_bus) if (i, j) not in tree]
    picked = rng.permutation(len(others))[:extra_branches]
    ends = tree + [others[k] for k in picked] + tree[:parallel]
    ends = [(t, f) if rng.random() < 0.5 else (f, t) for f, t in ends]
    ids = rng.permutation(3 * n_bus)[:n_bus]
    ids.sort()
    branch = [
        [ids[f], ids[t], rng.uniform(0, 0.05), rng.uniform(0.02, 0.1), rng.choice([0, 0.05]), None]
        + ([rng.uniform(0.95, 1.05), rng.uniform(0, 5)] if rng.random() < 0.3 else [1, 0])
        for f, t in ends
    ]
    slack = int(rng.integers(n_bus))
    bus = [[i, 0 if k == slack else 1, 20.0, 1.1, 0.9] for k, i in enumerate(ids)]
    device = [[0, ids[slack], 0, *[None] * 12]]
    table = lambda rows: np.array(rows, dtype=object)  # noqa: E731
    return Network.from_dict(
        {"baseMVA": 10.0, "bus": table(bus), "device": table(device), "branch": table(branch)}
    )


def dense_admittance(net: Network) -> np.ndarray:
    """Bus admittance matrix by the textbook formula, (n_bus, n_bus) complex."""
    y_bus = np.diag(net.g_shunt + 1j * net.b_shunt)
    for k, (f, t) in enumerate(zip(net.from_bus, net.to_bus, strict=True)):
        y = net.in_service[k] / (net.r[k] + 1j * net.x[k])
        y_sh = net.in_service[k] * 0.5 * (net.g[k] + 1j * net.b[k])
        ratio = net.tap[k] * np.exp(1j * net.shift[k])
        y_bus[f, f] += (y + y_sh) / abs(ratio) ** 2
        y_bus[t, t] += y + y_sh
        y_bus[f, t] -= y / np.conj(ratio)
        y_bus[t, f] -= y / ratio
    return y_bus

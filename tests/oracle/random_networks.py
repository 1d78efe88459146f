"""Random networks with set-points, in gym-anm's own format, from light load to collapse.

``random_case(structure, numbers)`` is deterministic in its two seeds. ``structure`` draws what a compiled
program depends on (buses, radial or meshed topology, devices and their kinds), ``numbers`` everything else,
so that cases of one structure stack into one batch.

The draws stay within what gym-anm 2.0.1 computes correctly:

* PMAX None with P+ None (and PMIN None with P- None, for storage) gives it a NaN (0 * inf), likewise QMAX
  or QMIN None with a sloped side: infinite bounds are drawn only where its numbers stay defined.
* it forgets to divide a load's PMAX by baseMVA: PMAX is 0 or None, and below 0 only where baseMVA is 1.
* bus ids are 0..n-1, the slack is bus 0, no two branches are parallel, EFF is above 0.

About one transition in seven collapses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

LOAD, SLACK, CLASSICAL, RENEWABLE, STORAGE = -1, 0, 1, 2, 3


@dataclass(frozen=True)
class Settings:
    """Scalars of a task, fixed by the structure."""

    delta_t: float  # h
    gamma: float
    lamb: float
    costs_clipping: tuple[float | None, float | None]


@dataclass(frozen=True)
class Case:
    """A network and a few transitions on it; MW, MVAr and MWh as in gym-anm's interface."""

    structure: int
    numbers: int
    network: dict[str, Any]
    settings: Settings
    soc: np.ndarray  # (n_storage,) MWh, before the first transition
    p_load: np.ndarray  # (n_transition, n_load) MW
    p_potential: np.ndarray  # (n_transition, n_generator) MW
    p_set: np.ndarray  # (n_transition, n_generator + n_storage) MW
    q_set: np.ndarray  # (n_transition, n_generator + n_storage) MVAr

    @property
    def label(self) -> str:
        """Name to report in a failure."""
        return f"random_case({self.structure}, {self.numbers})"


@dataclass(frozen=True)
class _Structure:
    n_bus: int
    branches: list[tuple[int, int]]  # (from, to), file order
    bridge: list[bool]  # the branch is on no cycle
    devices: list[tuple[int, int, int]]  # (id, bus, kind), file order
    settings: Settings


def _draw_structure(rng: np.random.Generator) -> _Structure:
    n_bus = int(rng.choice([2, 3, *range(4, 31)]))
    # A tree whose depth ranges from a star to a chain, then chords.
    reach = rng.choice([1, 2, 4, n_bus])
    tree = [(int(rng.integers(max(0, i - reach), i)), i) for i in range(1, n_bus)]
    chords: set[tuple[int, int]] = set()
    for _ in range(int(rng.choice([0, 0, 1, 2, max(1, n_bus // 4)])) if n_bus > 2 else 0):
        f, t = sorted(int(i) for i in rng.choice(n_bus, 2, replace=False))
        if (f, t) not in tree:
            chords.add((f, t))
    parent = {t: f for f, t in tree}

    def path(i: int) -> set[tuple[int, int]]:
        return {(parent[i], i)} | path(parent[i]) if i else set()

    on_cycle = chords.union(*(path(f) ^ path(t) for f, t in chords))
    edges = tree + sorted(chords)
    edges = [edges[i] for i in rng.permutation(len(edges))]
    branches = [(f, t) if rng.random() < 0.6 else (t, f) for f, t in edges]
    bridge = [edge not in on_cycle for edge in edges]

    kinds = [(0, SLACK)]
    for bus in range(n_bus):
        if bus and rng.random() < 0.75:
            kinds.append((bus, LOAD))
        extra = [(LOAD, 0.1), (CLASSICAL, 0.12), (RENEWABLE, 0.2), (RENEWABLE, 0.05), (STORAGE, 0.18)]
        for kind, share in extra:
            if rng.random() < (share if bus else 0.06):
                kinds.append((bus, kind))
    for kind in (LOAD, CLASSICAL, RENEWABLE, STORAGE)[: int(rng.integers(1, 5))]:
        if kind not in [k for _, k in kinds]:
            kinds.append((int(rng.integers(1, n_bus)), kind))
    # Ids with gaps, and rows in any order: everything is sorted by id in the end.
    ids = rng.choice(2 * len(kinds), len(kinds), replace=False)
    devices = [(int(ids[i]), *kinds[i]) for i in rng.permutation(len(kinds))]
    settings = Settings(
        delta_t=float(rng.choice([0.25, 0.5, 1.0])),
        gamma=float(rng.choice([0.99, 0.995])),
        lamb=float(rng.choice([100.0, 1000.0])),
        costs_clipping=[(1.0, 100.0), (None, None), (0.05, None), (None, 20.0)][int(rng.integers(4))],
    )
    return _Structure(n_bus, branches, bridge, devices, settings)


def _maybe(rng: np.random.Generator, value: float, share: float = 0.8) -> float | None:
    """``value``, or None in the other cases."""
    return float(value) if rng.random() < share else None


def _draw_branches(
    rng: np.random.Generator, structure: _Structure, base: float
) -> tuple[list[list[Any]], np.ndarray]:
    """Branch rows, and the magnitudes of their series impedances (p.u.)."""
    rows, impedance = [], []
    scale = rng.uniform(0.3, 1.5)
    # From its flat start gym-anm's Newton rarely gets past a shift of 30 degrees, though in a radial network
    # it changes no magnitude: one network in 25 may have one, others have smaller ones.
    shifted = rng.choice(len(structure.branches), int(rng.choice([0, 1, 2])))
    largest = rng.choice([30.0, rng.uniform(0, 6)], p=[0.04, 0.96])
    for i, ((f, t), bridge) in enumerate(zip(structure.branches, structure.bridge, strict=True)):
        r, x = scale * rng.uniform(0.003, 0.06), scale * rng.uniform(0.005, 0.12)
        style = rng.random()
        row_r, row_x = (r, x) if style < 0.9 else ((None, x) if style < 0.96 else (r, None))
        tap = _maybe(rng, rng.choice([1.0, rng.uniform(0.9, 1.1)], p=[0.7, 0.3]))
        degrees = float(rng.choice([largest, 360 - largest]))
        if not bridge:  # around a loop a shift drives a current
            degrees = float(rng.choice([rng.uniform(0, 3), rng.uniform(357, 360)]))
        rate = _maybe(rng, base * rng.uniform(0.05, 1.0))
        b = _maybe(rng, rng.choice([0.0, rng.uniform(0, 0.08)]))
        rows.append([f, t, row_r, row_x, b, rate, tap, _maybe(rng, 0.0) if i not in shifted else degrees])
        impedance.append(abs(complex(row_r or 0.0, row_x or 0.0)))
    return rows, np.array(impedance)


def _loading_limit(structure: _Structure, impedance: np.ndarray, share: np.ndarray) -> float:
    """Rough total load (p.u.) at which the voltage collapses: 1/4 over the impedance that the load sees."""
    n = structure.n_bus
    laplacian = np.zeros((n, n))
    for (f, t), z in zip(structure.branches, impedance, strict=True):
        laplacian[[f, t], [f, t]] += 1 / z
        laplacian[[f, t], [t, f]] -= 1 / z
    drop = np.linalg.solve(laplacian[1:, 1:], share[1:])
    return float(0.25 / drop.max())


def _draw_slopes(rng: np.random.Generator, q_max: float, q_min: float) -> tuple[float | None, float | None]:
    """(Q+, Q-): a value, the bound itself or None."""
    middle = q_min + (q_max - q_min) * rng.uniform(0.2, 0.8)
    q_plus = rng.choice([q_max, middle + (q_max - middle) * rng.random()], p=[0.15, 0.85])
    q_minus = rng.choice([q_min, q_min + (middle - q_min) * rng.random()], p=[0.15, 0.85])
    return _maybe(rng, q_plus), _maybe(rng, q_minus)


def _draw_load(rng: np.random.Generator, size: float, base: float) -> list[float | None]:
    ratio = float(rng.choice([0.0, 0.2, rng.uniform(0.05, 0.6), -rng.uniform(0.02, 0.2)]))
    p_max = 0.0 if base != 1.0 else -size * float(rng.choice([0.0, 0.1]))
    p_min = -size * rng.uniform(1.0, 3.0)
    return [ratio, _maybe(rng, p_max), _maybe(rng, p_min, 0.85) if ratio else p_min, *[None] * 9]


def _draw_generator(rng: np.random.Generator, size: float, _delta_t: float) -> list[float | None]:
    p_max = size * rng.uniform(0.5, 2.0)
    p_min = rng.choice([0.0, 0.1 * p_max], p=[0.8, 0.2])
    q_max = size * rng.uniform(0.2, 1.2)
    q_min = -q_max if rng.random() < 0.5 else q_max - size * rng.uniform(0.3, 2.0)
    q_plus, q_minus = _draw_slopes(rng, q_max, q_min)
    p_plus = float(rng.choice([p_max, p_min + (p_max - p_min) * rng.random()], p=[0.1, 0.9]))
    low = p_min if p_min else _maybe(rng, 0.0)
    row = [None, p_max, low, q_max, q_min, p_plus, None, q_plus, q_minus]
    style = rng.random()
    if style < 0.3:  # a rectangle, possibly open upwards and downwards
        row[5], row[3], row[4] = _maybe(rng, p_max, 0.3), _maybe(rng, q_max), _maybe(rng, q_min)
        row[7] = None if row[3] is None else q_plus
        row[8] = None if row[4] is None else q_minus
    elif style < 0.4:  # no upper bound on P but the potential
        row[1] = None
    if rng.random() < 0.1:
        row[6] = p_min  # a generator's P- is ignored
    return [*row, None, None, None]


def _draw_storage(rng: np.random.Generator, size: float, delta_t: float) -> list[float | None]:
    p_max, p_min = size * rng.uniform(0.5, 1.5), -size * rng.uniform(0.5, 1.5)
    q_max = size * rng.uniform(0.2, 1.2)
    q_min = -q_max if rng.random() < 0.5 else q_max - size * rng.uniform(0.3, 2.0)
    q_plus, q_minus = _draw_slopes(rng, q_max, q_min)
    low, high = sorted(rng.uniform(p_min, p_max, 2))
    p_plus = rng.choice([p_max, high, p_max * rng.random()], p=[0.1, 0.15, 0.75])
    p_minus = rng.choice([p_min, min(low, p_plus), p_min * rng.random()], p=[0.1, 0.15, 0.75])
    if p_minus > p_plus:
        p_minus = p_min
    row = [None, p_max, p_min, q_max, q_min, _maybe(rng, p_plus), _maybe(rng, p_minus), q_plus, q_minus]
    style = rng.random()
    if style < 0.1:
        row[1], row[5] = None, p_plus
    elif style < 0.2:
        row[2], row[6] = None, p_minus
    elif style < 0.3:  # a rectangle open upwards and downwards
        row[3:] = [None, None, None, None, None, None]
    soc_max = size * delta_t * rng.uniform(0.3, 4.0)
    soc_min = _maybe(rng, soc_max * rng.choice([0.0, rng.uniform(0.05, 0.4)]))
    eff = rng.choice([1.0, rng.uniform(0.7, 0.99)], p=[0.2, 0.8])
    return [*row, soc_max, soc_min, _maybe(rng, eff)]


def random_case(structure: int, numbers: int, num_transitions: int = 5) -> Case:
    """Draws a network and transitions on it.

    Args:
      structure: seed of the topology and the devices' kinds.
      numbers: seed of everything else.
      num_transitions: how many transitions to draw; their loads range from light to beyond collapse.

    Returns:
      The case.
    """
    shape = _draw_structure(np.random.default_rng([20, structure]))
    rng = np.random.default_rng([21, structure, numbers, num_transitions])
    base = float(rng.choice([1.0, 10.0, 100.0]))
    delta_t = shape.settings.delta_t
    branch_rows, impedance = _draw_branches(rng, shape, base)
    weight = np.zeros(shape.n_bus)
    load_weight = {i: rng.uniform(0.2, 1.0) for i, _, kind in shape.devices if kind == LOAD}
    for i, bus, kind in shape.devices:
        if kind == LOAD:
            weight[bus] += load_weight[i]
    limit = base
    if weight[1:].any():
        limit *= _loading_limit(shape, impedance, weight / weight.sum())

    bus_rows = [[0, 0, 132.0, 1.0, 1.0]]
    for i in range(1, shape.n_bus):
        kv = float(rng.choice([11.0, 33.0]))
        bus_rows.append([i, 1, kv, rng.uniform(1.01, 1.1), rng.uniform(0.9, 0.99)])
    rows: dict[int, list[float | None]] = {}
    n_unit = sum(kind not in (LOAD, SLACK) for _, _, kind in shape.devices)
    size: dict[int, float] = {}
    for i, _, kind in shape.devices:
        if kind == SLACK:
            wide = 10 * limit
            rows[i] = [None, *(_maybe(rng, bound) for bound in (wide, -wide, wide, -wide)), *[None] * 7]
        elif kind == LOAD:
            size[i] = limit * load_weight[i] / weight.sum()
            rows[i] = _draw_load(rng, size[i], base)
        else:
            size[i] = limit * rng.uniform(0.2, 1.0) / (1 + n_unit)
            draw = _draw_storage if kind == STORAGE else _draw_generator
            rows[i] = draw(rng, size[i], delta_t)
    network = {
        "baseMVA": base,
        "bus": np.array(bus_rows),
        "device": np.array([[i, bus, kind, *rows[i]] for i, bus, kind in shape.devices], dtype=object),
        "branch": np.array(branch_rows, dtype=object),
    }

    by_id = sorted(shape.devices)
    loads = [i for i, _, kind in by_id if kind == LOAD]
    generators = [i for i, _, kind in by_id if kind in (CLASSICAL, RENEWABLE)]
    storage = [i for i, _, kind in by_id if kind == STORAGE]
    sizes = np.array([size[i] for i in generators + storage])
    load_sizes = np.array([size[i] for i in loads])
    # From 5 % of the estimated limit to beyond it, a few loads turned into generation (clipped at PMAX).
    factor = np.exp(rng.uniform(np.log(0.05), np.log(4.0), (num_transitions, 1)))
    spread = rng.uniform(0.6, 1.4, (num_transitions, len(loads)))
    spread *= rng.choice([1.0, 1.0, 1.0, 1.0, -0.5], spread.shape)
    potential = rng.choice([0.0, -0.3, 0.3, 1.0, 3.0], (num_transitions, len(generators)))
    reach = rng.choice([0.3, 1.0, 3.0, 30.0], (num_transitions, 1), p=[0.4, 0.35, 0.22, 0.03])
    actions = rng.uniform(-1, 1, (2, num_transitions, len(sizes)))
    low = np.array([rows[i][10] or 0.0 for i in storage])
    high = np.array([rows[i][9] for i in storage], dtype=float)
    fill = rng.choice([0.0, 1.0, rng.random()], len(storage))
    return Case(
        structure=structure,
        numbers=numbers,
        network=network,
        settings=shape.settings,
        soc=low + fill * (high - low),
        p_load=-factor * spread * load_sizes,
        p_potential=potential * rng.uniform(0.5, 1.0, potential.shape) * sizes[: len(generators)],
        p_set=reach * actions[0] * sizes,
        q_set=reach * actions[1] * sizes,
    )

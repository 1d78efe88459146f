"""Tables of projections: solves a second against batch size and beside other solvers; safety."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from benchmarks.harness import record
from benchmarks.harness.columns import Column, Row, digits, percent, source, table
from benchmarks.power_flow.tables import fastest

OURS = "anmjax"  # what the names of ours begin with
PEERS = ("clarabel", "osqp", "cvxpy", "qpax", "cvxpylayers")

# What a safety layer keeps within limits, and what it costs.
KEPT = (
    Column("task, actions", lambda row: f"{row['task']}, {row['policy']}"),
    Column("layer", "layer"),
    Column("violate", "violates", percent),
    Column("could be kept", "feasible", percent),
    Column("of those violate", "violates_where_feasible", percent, missing="-"),
    Column(
        "moved, p.u.", lambda row: None if row["layer"] == "none" else row["distance_pu"], ".3f", missing=""
    ),
)
COST = (
    Column("task", "task"),
    Column("grids", "batch", ","),
    Column("steps/s without", "none", digits),
    Column("steps/s with the layer", "perfect", digits),
    Column("times", lambda row: row["none"] / row["perfect"], digits),
)


def speed(made: dict[str, Any]) -> str:
    """The best batch of each problem beside the peers, rates against batch size, how good all answers are."""
    has_peers = any(not row["solver"].startswith(OURS) for row in made["rows"])
    # A machine with a GPU may have no peers: those of the newest CPU record stand in.
    peers_from = made if has_peers else record.latest("projection", "cpu")
    theirs = [row for row in peers_from["rows"] if not row["solver"].startswith(OURS)] if peers_from else []
    lines = [source(made), "", *beside(made["rows"], theirs), "", said_of_peers(made, peers_from, theirs)]
    lines += ["", *by_batch(made["rows"]), "", *quality(made["rows"])]
    if made["left_out"]:
        lines += ["", f"Not measured: {'; '.join(made['left_out'])}."]
    return "\n".join(lines)


def label(row: Row) -> str:
    """What a row is about: the problem, its size and what is computed."""
    size = "" if row["problem"] == "device region" else f" {row['n']}, {row['m']}, {row['p']}"
    return f"{row['problem']}{size}, {row['what']}"


def label_of_ours(row: Row) -> str:
    """The same, and what else the name of ours says."""
    return label(row) + row["solver"].removeprefix(OURS)


def grouped(rows: Iterable[dict[str, Any]], *keys: str) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    """Rows by what they are about and further entries, in the record's order."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((label(row), *(row[key] for key in keys)), []).append(row)
    return groups


def of_ours(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of ours."""
    return [row for row in rows if row["solver"].startswith(OURS)]


def beside(rows: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]) -> list[str]:
    """The table of the best batches: a ratio is to the peer's best rate at any batch of the same problem."""
    best_of = {key: fastest(group) for key, group in grouped(theirs, "solver").items()}
    named = [peer for peer in PEERS if any(row["solver"] == peer for row in theirs)]
    best_rows = []
    for (name, _, _), group in grouped(of_ours(rows), "solver", "dtype").items():
        best = fastest(group)
        rate = best["solves_per_s"]["median"]
        peers = {peer: best_of[name, peer] for peer in named if (name, peer) in best_of}
        best_rows.append(
            best
            | {"times": {peer: rate / row["solves_per_s"]["median"] for peer, row in peers.items()}}
            | {"longest_compile_s": max(row["trace_s"] + row["compile_s"] for row in group)}
        )
    columns = [
        Column("problem", label_of_ours),
        Column("dtype", "dtype"),
        Column("solves/s", "solves_per_s.median", digits),
        Column("batch", "batch", ","),
        *(Column(f"x {peer}", f"times.{peer}", digits, missing="-") for peer in named),
        Column("compile, s", "longest_compile_s", ".1f"),
    ]
    return [table(columns, best_rows)]


def by_batch(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The tables of rates against batch size, ours and of solvers that take a batch."""
    batched = [row for row in rows if "compile_s" in row]
    lines: list[str] = []
    for problem, said in (("device region", "set-points"), ("qp", "quadratic programs")):
        chosen = [row for row in batched if row["problem"] == problem]
        batches = sorted({row["batch"] for row in of_ours(chosen)})
        by_solver = [
            {"what": ", ".join(about)} | {f"{row['batch']:,}": row["solves_per_s"]["median"] for row in group}
            for about, group in grouped(chosen, "solver", "dtype").items()
            if {row["batch"] for row in group} & set(batches)
        ]
        columns = [
            Column("problem, solver", "what"),
            *(Column(f"{batch:,}", f"{batch:,}", digits, missing="") for batch in batches),
        ]
        if by_solver:
            lines += ["", f"Solves/s against the number of {said} in one call:"]
            lines += ["", table(columns, by_solver)]
    return lines[1:]


def quality(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The table of the worst answers of each solver over all batches."""
    groups = [{"rows": group, **group[0]} for group in grouped(rows, "solver", "dtype").values()]
    columns = [
        Column("solver, dtype", lambda row: f"{row['solver']}, {row['dtype']}"),
        Column("problem", label),
        Column("objective gap", partial(worst, key="max_objective_gap"), ".0e", missing="-"),
        Column("violation", partial(worst, key="max_violation"), ".0e", missing="-"),
        Column("gradient error", partial(worst, key="max_gradient_error"), ".0e", missing="-"),
        Column("converged", lambda row: f"{100 * min(one['converged'] for one in row['rows']):.4g} %"),
    ]
    said = (
        "Worst of all batches, against solutions known by construction: objective gap of 1 + |objective|, "
        "violation of a constraint, error of the gradient of 1 + its largest entry, of lanes that converged."
    )
    return [said, "", table(columns, groups)]


def worst(group: Row, key: str) -> float | None:
    """The largest entry of those rows of a group that have it."""
    return max((row[key] for row in group["rows"] if row.get(key) is not None), default=None)


def said_of_peers(
    made: dict[str, Any], peers_from: dict[str, Any] | None, theirs: Sequence[dict[str, Any]]
) -> str:
    """What the problems are, and what the ratios are ratios to."""
    problems = (
        "A qp of n, m, p has n variables, m inequalities and p equalities, every lane its own matrices; "
        "the gradient is that of the sum of x in q and h. Best batch of each. 10 steps: `num_iters=10, "
        "refinements=0, tol=1e-6`, the tolerance of qpax here."
    )
    if not theirs or peers_from is None:
        return f"{problems} No other solver was measured."
    versions, present = peers_from["versions"], {row["solver"] for row in theirs}
    named = ", ".join(f"{name} {versions[name]}" for name in PEERS if name in present and name in versions)
    where = "in turn with ours" if peers_from is made else f"on {peers_from['machine']['cpu']}"
    return (
        f"{problems} Times faster than the best rate of {named}, all in float64, measured {where}: CLARABEL, "
        "OSQP and cvxpy one program after the other on one core, cvxpylayers on all cores, qpax in batches, "
        "on a CPU on one JAX device."
    )


def safety(made: dict[str, Any]) -> str:
    """What the safety layer keeps within limits, and what it costs."""
    days, steps = made["rows"][0]["days"], made["rows"][0]["steps"]
    said = (
        f"Shares of the steps of {days} days of {steps} steps, by the AC power flow. Could be kept: some "
        "action keeps all limits, found by a search on the environment itself or by the layer. "
        "The layer knows the loads and potentials of the step ahead (perfect) or takes the present ones "
        "(persistence)."
    )
    rates: dict[tuple[str, int], dict[str, float]] = {}
    for row in made["rates"]:
        rates.setdefault((row["task"], row["batch"]), {})[row["layer"]] = row["steps_per_s"]["median"]
    pairs = [{"task": task, "batch": batch, **pair} for (task, batch), pair in rates.items()]
    lines = [f"Safety layer: {source(made)}", "", table(KEPT, made["rows"]), "", said, "", table(COST, pairs)]
    return "\n".join(lines)

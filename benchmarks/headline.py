"""The headline table: what each part reaches beside others, a row for every peer, from the newest records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.harness.columns import Column, commit, digits, place, table
from benchmarks.policies import tables as policy_tables
from benchmarks.power_flow import tables as power_flow_tables
from benchmarks.power_flow.tables import fastest
from benchmarks.projection import tables as projection_tables

# What stands for a record: a feeder, the longest horizon with a peer, and a middle size (n, m, p).
NETWORK, STEPS, SIZE = "case33bw", 32, (20, 60, 6)
# Peers of power flows and of quadratic programs, as records name them and as they call themselves.
POWER_FLOW_PEERS = {"lightsim2grid, flat": "lightsim2grid", "power-grid-model": "power-grid-model"}
QP_PEERS = {"clarabel": "CLARABEL", "osqp": "OSQP", "qpax": "qpax"}

COLUMNS = (
    Column("what", "what"),
    Column("anmjax", "ours"),
    Column("beside it", "peer"),
    Column("reaches", "theirs"),
    Column("ratio", "ratio"),
)

Record = dict[str, Any]


def headline(*made: Record | None) -> str:
    """One table of the records that there are.

    Args:
      *made: records of the benchmarks in ``ROWS``, in that order; None: there is none.
    """
    found = [record for record in made if record]
    lines = [row for rows, record in zip(ROWS.values(), made, strict=True) if record for row in rows(record)]
    if not lines:
        return "Nothing has been measured yet that another program stands beside."
    said = [f"`{record['benchmark']}` of {record['date'][:10]}, {commit(record)}" for record in found]
    where = " or ".join(dict.fromkeys(place(record) for record in found))
    return "\n".join(
        [
            table(COLUMNS, lines),
            "",
            f"On {where}; all but the steps and the learners in float64. Ratios of steps and power flows are",
            "of runs in turn. QP: quadratic program; gap: largest error of its objective. Newest records:",
            ";\n".join(said) + ".",
        ]
    )


def line(what: str, ours: str, peer: str, theirs: str, ratio: str) -> Record:
    """A row: what is measured, what ours reaches, beside which other, what that reaches, how many times."""
    return {"what": what, "ours": ours, "peer": peer, "theirs": theirs, "ratio": ratio}


def _env_step(made: Record) -> Iterator[Record]:
    if versus := made.get("comparison"):
        ours, theirs = versus["anmjax"]["median"], versus["gym_anm_process_per_core"]["median"]
        ratio = f"{versus['ratio_process_per_core']:,.0f}"
        yield line("steps/s, ANM6Easy-v0", digits(ours), "gym-anm, a process a core", digits(theirs), ratio)


def _power_flow(made: Record) -> Iterator[Record]:
    rows = power_flow_tables.of_dtype(made, "float64")
    theirs = power_flow_tables.of_network(rows, NETWORK)
    best = fastest(power_flow_tables.of_network(rows, NETWORK, "forward"))
    what, ours = f"power flows/s, {best['n_bus']} buses", digits(best["solves_per_s"]["median"])
    for program, name in POWER_FLOW_PEERS.items():
        if of_program := [row for row in theirs if row["solver"].startswith(program)]:
            rate = digits(fastest(of_program)["solves_per_s"]["median"])
            yield line(what, ours, name, rate, power_flow_tables.peer_ratio(program, best, theirs))
    for row in made["rows"]:
        if row.get("what") == "every outage" and row["solver"] == "anmjax" and row["ratio"]:
            ((_, ratio),) = row["ratio"].items()
            ours = row["solves_per_s"]["median"]
            what = f"outages/s (N-1), {row['n_bus']:,} buses"
            yield line(what, digits(ours), "lightsim2grid", digits(ours / ratio), digits(ratio))


def _mpc(made: Record) -> Iterator[Record]:
    rows = [row for row in made["rows"] if row["steps"] == STEPS and row.get("dtype", "float64") == "float64"]
    rate = {row["solver"]: row["plans_per_s"]["median"] for row in rows}
    if rate.keys() >= {"anmjax", "gym-anm"}:
        ours, theirs = rate["anmjax"], rate["gym-anm"]
        what = f"MPC plans/s, {STEPS} steps"
        yield line(what, digits(ours), "gym-anm, cvxpy", digits(theirs), digits(ours / theirs))


def _projection(made: Record) -> Iterator[Record]:
    rows = [row for row in made["rows"] if row["problem"] == "qp" and row["what"] == "forward"]
    rows = [row for row in rows if (row["n"], row["m"], row["p"]) == SIZE and row["dtype"] == "float64"]
    of = {solver: group for (_, solver), group in projection_tables.grouped(rows, "solver").items()}
    rate = {solver: fastest(group)["solves_per_s"]["median"] for solver, group in of.items()}
    gap = {solver: max(row["max_objective_gap"] for row in group) for solver, group in of.items()}
    ours = [solver for solver in of if solver.startswith(projection_tables.OURS)]
    for solver, name in QP_PEERS.items():
        if solver in of:
            # The fastest of ours that is as accurate, or else the most accurate.
            own = max(
                (one for one in ours if gap[one] <= gap[solver]),
                key=rate.__getitem__,
                default=min(ours, key=gap.__getitem__),
            )
            what = f"QPs/s, {SIZE[0]} variables, gap {gap[own]:.0e}"
            ratio = digits(rate[own] / rate[solver])
            yield line(what, digits(rate[own]), f"{name}, gap {gap[solver]:.0e}", digits(rate[solver]), ratio)


def _returns(made: Record) -> Iterator[Record]:
    for agent, name in (("ppo", "PPO"), ("shac", "SHAC")):
        rows = [row for row in made["rows"] if (row["task"], row["agent"]) == ("ANM6Easy-v0", agent)]
        if rows:
            returns = sorted(row["return"] for row in rows)
            minutes = max(row["total_s"] for row in rows) / 60
            what, ours = f"{name}'s return, {minutes:.1f} min", f"{returns[0]:.2f} to {returns[-1]:.2f}"
            yield line(what, ours, "best learned policy published", f"{policy_tables.best_learned():g}", "")


ROWS = {
    "env_step": _env_step,
    "power_flow": _power_flow,
    "policies.mpc": _mpc,
    "projection": _projection,
    "training.returns": _returns,
}

"""Tables of power flow: solves a second beside other programs, and accuracy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

from benchmarks.harness import record
from benchmarks.harness.columns import Column, Row, digits, source, table

OURS = "anmjax"
# Programs, each with the ways it was run; a ratio is to the fastest of them.
PEERS = ("lightsim2grid, flat", "power-grid-model", "pandapower")


def of_network(rows: Iterable[dict[str, Any]], name: str, what: str | None = None) -> list[dict[str, Any]]:
    """Rows of a network: ours that measured ``what``, or without it those of all peers; by batch."""
    chosen = [row for row in rows if row["network"] == name and row.get("what") == what]
    return sorted(chosen, key=lambda row: row["batch"])


def fastest(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The row of the highest median rate."""
    return max(rows, key=lambda row: row["solves_per_s"]["median"])


def names(rows: Iterable[dict[str, Any]]) -> list[str]:
    """Networks whose forward solve was measured, in the record's order."""
    return list(dict.fromkeys(row["network"] for row in rows if row.get("what") == "forward"))


def of_dtype(made: dict[str, Any], dtype: str) -> list[dict[str, Any]]:
    """Rows of ours in one precision, and of the peers at its tolerance."""
    tol = made["tol"][dtype]
    return [row for row in made["rows"] if row["tol"] == tol and row.get("dtype", dtype) == dtype]


def peer_ratio(program: str, best: dict[str, Any], theirs: Sequence[dict[str, Any]]) -> str:
    """How many times faster ours is than a program's fastest way.

    The ratio measured in turn with ours where there is one, else that to the program's highest rate.
    """
    in_turn = [ratio for name, ratio in best["ratio"].items() if name.startswith(program)]
    rates = [row["solves_per_s"]["median"] for row in theirs if row["solver"].startswith(program)]
    if not in_turn and not rates:
        return "-"
    ratio = min(in_turn) if in_turn else best["solves_per_s"]["median"] / max(rates)
    return digits(ratio)


def speed(made: dict[str, Any]) -> str:
    """For each precision the best rate of each network beside the peers', then rates against batch size."""
    has_peers = any(row["solver"] != OURS for row in made["rows"])
    # A machine with a GPU may have no peers: those of the newest CPU record stand in.
    peers_from = made if has_peers else record.latest("power_flow", "cpu")
    lines = [source(made)]
    for dtype in made["dtypes"]:
        lines += ["", f"In {dtype}, every mismatch within {made['tol'][dtype]:g} p.u.:"]
        lines += section(of_dtype(made, dtype), of_dtype(peers_from, dtype) if peers_from else [])
    lines += ["", f"Best batch of each network. {said_of_peers(made, peers_from)}"]
    if made["left_out"]:
        lines += ["", f"Not measured for want of time: {'; '.join(made['left_out'])}."]
    if (plot := plot_path(made["machine"]["platform"])).exists():
        lines += ["", f"![Solves per second against batch size, beside other programs]({plot.name})"]
    return "\n".join(lines)


NETWORK = Column("network (buses)", lambda row: f"{row['network']} ({row['n_bus']:,})")
BEST = (
    NETWORK,
    Column("solves/s", "solves_per_s.median", digits),
    Column("batch", "batch", ","),
    *(Column(f"x {program.split(',')[0]}", f"times.{program}") for program in PEERS),
    Column("warm, solves/s", "warm.solves_per_s.median", digits, missing=""),
    Column("x lightsim2grid, warm", "warm.ratio.lightsim2grid, warm", digits, missing=""),
    Column("with gradient, cost", "gradient_cost", ".2f", missing=""),
    Column("mismatch, p.u.", "max_mismatch_pu", ".0e", missing="-"),
    Column("converged", "converged", lambda share: f"{100 * share:.4g} %"),
    Column("compile, s", "longest_compile_s", ".1f"),
)


def section(rows: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]) -> list[str]:
    """The tables of one precision.

    Args:
      rows: ours, and the peers measured in turn with them if any were.
      theirs: rows that hold the peers' rates.
    """
    best_rows, by_batch = [], []
    batches = sorted({row["batch"] for row in rows if row.get("what") == "forward"})
    for name in names(rows):
        forward = of_network(rows, name, "forward")
        best = fastest(forward)
        best_rows.append(
            best
            | {"times": {program: peer_ratio(program, best, of_network(theirs, name)) for program in PEERS}}
            | extras(rows, name, best)
            | {"longest_compile_s": max(row["trace_s"] + row["compile_s"] for row in forward)}
        )
        rates = {f"{row['batch']:,}": row["solves_per_s"]["median"] for row in forward}
        by_batch.append({"network": name, **rates})
    columns = [
        Column("network", "network"),
        *(Column(f"{batch:,}", f"{batch:,}", digits, missing="") for batch in batches),
    ]
    lines = ["", table(BEST, best_rows)]
    lines += ["", "Solves/s against the number of scenarios in one call:"]
    lines += ["", table(columns, by_batch)]
    for row in rows:
        if row["solver"] == OURS and row["what"] == "every outage":
            lines += ["", said_of_outages(row)]
    return lines


def extras(rows: Sequence[dict[str, Any]], name: str, best: dict[str, Any]) -> dict[str, Any]:
    """The best batch's warm start, and what a gradient costs; None where not measured."""

    def same_batch(what: str) -> dict[str, Any] | None:
        found = [row for row in of_network(rows, name, what) if row["batch"] == best["batch"]]
        return found[0] if found else None

    warm, gradient = same_batch("forward, warm"), same_batch("with gradient")
    cost = best["solves_per_s"]["median"] / gradient["solves_per_s"]["median"] if gradient else None
    return {"warm": warm, "gradient_cost": cost}


def said_of_peers(made: dict[str, Any], peers_from: dict[str, Any] | None) -> str:
    """What the ratios are ratios to."""
    theirs = [row for row in (peers_from or made)["rows"] if row["solver"] != OURS]
    if not theirs or peers_from is None:
        return "No other program was measured."
    versions = peers_from["versions"]
    named = ", ".join(
        f"{name} {versions[name]}"
        for name in ("lightsim2grid", "power-grid-model", "pandapower")
        if name in versions and any(row["solver"].startswith(name) for row in theirs)
    )
    where = "in turn with ours" if peers_from is made else f"on {peers_from['machine']['cpu']}"
    threads = max(row["threads"] for row in theirs)
    return (
        f"Times faster than {named}: the same scenarios and tolerance, measured {where} on {threads} threads "
        "(pandapower: one), the fastest of each program's methods from flat start, or warm from the solution "
        "of the case itself. power-grid-model has no PV buses before 1.13, which needs Python 3.12 and was "
        "not measured."
    )


def said_of_outages(row: dict[str, Any]) -> str:
    """The sentence on all outages of a network at once."""
    ratio = row["ratio"].get("lightsim2grid, outages")
    beside = f", {digits(ratio)} times lightsim2grid's contingency analysis" if ratio else ""
    return (
        f"All {row['batch']} single outages of {row['network']} in one call: "
        f"{digits(row['solves_per_s']['median'])} solves/s{beside}; {row['islanding']} of them split the "
        f"network, {row.get('unsolved', 0)} more have no solution: not converged."
    )


def plot_path(platform: str) -> Path:
    """Where the plot of a platform's newest record is."""
    return record.PLOTS / f"power_flow-{platform}.png"


def error_of(row: Row, dtype: str, error: str) -> float | None:
    """An error in one precision, None where it did not converge."""
    found: float = row[dtype][error]
    return found if row[dtype]["converged"] else None


ACCURACY = (
    NETWORK,
    Column("start", "start"),
    Column("updates of pandapower", "pandapower_iterations"),
    *(
        Column(
            f"{dtype}, {what}", partial(error_of, dtype=dtype, error=error), ".1e", missing="not converged"
        )
        for dtype in ("float64", "float32")
        for what, error in (("|V|, p.u.", "max_dvm_pu"), ("angle, rad", "max_dva_rad"))
    ),
)


def accuracy(made: dict[str, Any]) -> str:
    """Errors against pandapower in both precisions, then Newton updates against loading."""
    lines = [
        f"Largest differences from pandapower {made['versions']['pandapower']}: {source(made)}",
        "",
        table(ACCURACY, made["rows"]),
    ]
    if made["loading"]:
        lines += ["", *loading(made)]
    return "\n".join(lines)


def loading(made: dict[str, Any]) -> list[str]:
    """The table of Newton updates against loading."""
    shares = sorted({row["share_of_largest"] for row in made["loading"]})
    rows: dict[str, dict[float, Any]] = {}
    for row in made["loading"]:
        rows.setdefault(row["network"], {})[row["share_of_largest"]] = row
    networks = [
        {
            "network": f"{name} ({by[shares[-1]]['loading'] / shares[-1]:.2f})",
            **{f"{100 * share:g} %": by[share]["updates"] for share in shares},
        }
        for name, by in rows.items()
    ]
    columns = [
        Column("network (largest loading)", "network"),
        *(Column(f"{100 * share:g} %", itemgetter(f"{100 * share:g} %")) for share in shares),
    ]
    said = (
        f"Newton updates from flat start to a mismatch of {made['loading_tol']:g} p.u., against loading as a "
        "share of the largest that is solved:"
    )
    return [said, "", table(columns, networks)]


# Entries of a record and what they are called.
PARTS = {
    "forward": "forward",
    "with gradient": "with gradient",
    "balance": "power balance",
    "shared_substitution": "shared substitution",
    "own_system": "own system",
}


def parts(made: dict[str, Any]) -> str:
    """Microseconds a lane of the whole calls and of the solver's parts."""
    columns = [
        Column(
            "network (buses, branches)",
            lambda row: f"{row['network']} ({row['n_bus']:,}, {row['n_branch']:,})",
        ),
        Column("updates", "updates", ".1f"),
        *(Column(title, f"us_a_lane.{part}", ".3g") for part, title in PARTS.items()),
        Column("lanes of a block", lambda row: f"{row['chord_lanes']:,}, {row['newton_lanes']:,}"),
    ]
    return "\n".join([source(made), "", table(columns, made["rows"])])

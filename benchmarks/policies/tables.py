"""Tables of what policies reach on a task, from records."""

from __future__ import annotations

from statistics import fmean
from typing import Any, NamedTuple

from benchmarks.harness.columns import grid, source


class Published(NamedTuple):
    """A discounted return as its authors give it."""

    value: float
    source: str  # as in SOURCES
    error: float | None = None
    learned: bool = False  # by reinforcement learning
    said: str = ""  # of a policy that goes by another name there

    def __str__(self) -> str:
        value = f"{self.value:g}" if self.error is None else f"{self.value:g} ± {self.error:g}"
        return f"{value} [{self.source}{self.said and ', ' + self.said}]"


# By name of our policy or of theirs.
PUBLISHED = {
    "mpc-constant": (Published(-129.1, "1", 0.4),),
    "mpc-perfect": (Published(-14.7, "1", 0.2), Published(-14.4, "2")),
    "PPO": (Published(-93.6, "1", 15.3, learned=True), Published(-16.2, "2", learned=True, said="RL")),
    "SAC": (Published(-56.1, "1", 26.8, learned=True),),
    "decision trees": (Published(-19.2, "2"),),
}
SOURCES = (
    "Published: [1] Henry & Ernst, Energy and AI 5 (2021); [2] TreeC, arXiv:2304.08310v2. Their protocol "
    "differs: a mean over a few episodes (5 in [1]) from starts drawn at random, while the start alone "
    "spreads returns by about 10; here every policy begins from the same stated starts."
)


def anm6easy(made: dict[str, Any]) -> str:
    """All policies beside published values, the planner by the AC power flow, and the grid of planners."""
    rows = {part: [row for row in made["rows"] if row["part"] == part] for part in ("all", "ac", "grid")}
    lines = [f"{made['task']}, {made['dtype']}, {made['minutes']:.0f} minutes: {source(made)}"]
    if rows["all"]:
        lines += ["", _beside_published(rows["all"])]
    lines += [text for row in rows["ac"] for text in ("", _by_ac(row, made["paired"]))]
    for planner in sorted({row["policy"] for row in rows["grid"]}):
        lines += ["", _by_settings([row for row in rows["grid"] if row["policy"] == planner])]
    return "\n".join(lines)


def best_learned() -> float:
    """The best return that was published of a policy trained by reinforcement learning."""
    return max(entry.value for published in PUBLISHED.values() for entry in published if entry.learned)


def _beside_published(rows: list[dict[str, Any]]) -> str:
    said = {name: ", ".join(map(str, published)) for name, published in PUBLISHED.items()}
    cells = [[row["policy"], *reached(row["evaluation"]), said.pop(row["policy"], "")] for row in rows]
    cells += [[name, "", "", "", published] for name, published in said.items()]
    header = ["policy", "discounted return", "violations", "cost a day", "published returns"]
    return f"{grid(header, cells)}\n\n{protocol(rows[0]['evaluation'])} {SOURCES}"


def _by_ac(row: dict[str, Any], paired: list[dict[str, Any]]) -> str:
    cells = [
        [
            pair["less"],
            f"{pair['their_return']:.3f}",
            f"{pair['mean']:+.3f}",
            f"{pair['low']:+.3f} to {pair['high']:+.3f}",
        ]
        for pair in paired
    ]
    gained, violations, cost = reached(row["evaluation"])
    said = (
        f"`{row['policy']}` plans by the AC power flow. From {row['evaluation']['num_starts']} of these "
        f"starts, t0 = 0, 6, .., 90: return {gained}, violations {violations}, cost a day {cost}. Its return "
        "less that of the others from the same starts, paired:"
    )
    header = ["policy", "discounted return", "difference", "95 % interval"]
    return f"{said}\n\n{grid(header, cells)}"


def _by_settings(rows: list[dict[str, Any]]) -> str:
    """Returns and costs of one planner, a line for every horizon and a column for every margin."""
    margins = sorted({row["safety_margin"] for row in rows})
    at = {(row["planning_steps"], row["safety_margin"]): row["evaluation"] for row in rows}
    cells = []
    for steps in sorted({steps for steps, _ in at}):
        results = [at[steps, margin] for margin in margins]
        cells.append(
            [str(steps), *(f"{x['discounted_return']:.2f} / {x['cost_per_day'] or 0:.3f}" for x in results)]
        )
    first = rows[0]["evaluation"]
    said = (
        f"`{rows[0]['policy']}`: discounted return over {first['horizon']} steps / cost of the last day, "
        f"{first['num_starts']} starts, by planning steps and safety margin:"
    )
    return f"{said}\n\n{grid(['N', *(f'{margin:g}' for margin in margins)], cells)}"


def protocol(result: dict[str, Any]) -> str:
    """How discounted returns and the other figures were made."""
    return (
        f"Discounted return: gamma {result['gamma']:g}, {result['horizon']} steps, mean and standard error "
        f"over {result['num_starts']} starts. Violations: share of steps with a voltage or branch limit "
        "exceeded. Cost a day: undiscounted, over the last day."
    )


def clairvoyant(made: dict[str, Any]) -> str:
    """The best known return from each start."""
    rows = made["rows"]
    mean = {name: fmean(row[name] for row in rows) for name in ("planner_return", "return", "cost_per_day")}
    cells = [
        [str(row["t0"]), f"{row['planner_return']:.3f}", f"{row['return']:.3f}", f"{row['cost_per_day']:.4f}"]
        for row in rows
    ]
    cells.append(["mean", *(f"{mean[name]:.{4 if name == 'cost_per_day' else 3}f}" for name in mean)])
    header = ["t0", "planner's return", "best known return", "cost a day"]
    return "\n".join([f"{made['task']}: {source(made)}", "", grid(header, cells)])


def training(made: dict[str, Any]) -> str:
    """What each seed's policy and the baselines reach, and the time that training took."""
    header = ["policy", "discounted return", "violations", "cost a day", "M env steps", "minutes", "steps/s"]
    cells = [
        [
            f"seed {row['seed']}",
            *reached(row["evaluation"]),
            f"{row['env_steps'] / 1e6:.1f}",
            f"{row['seconds'] / 60:.1f}",
            f"{row['steps_per_s']:,.0f}",
        ]
        for row in made["rows"]
    ]
    cells += [[name, *reached(result), "", "", ""] for name, result in made["baselines"].items()]
    note = (
        f"{protocol(made['rows'][0]['evaluation'])} Policies act deterministically. Minutes: from starting "
        "the command to its end, compilation included; steps/s over that time."
    )
    return "\n".join([f"{made['task']}: {source(made)}", "", grid(header, cells), "", note])


def reached(result: dict[str, Any]) -> list[str]:
    """The cells that say what a policy reached."""
    cost = result["cost_per_day"]
    return [
        f"{result['discounted_return']:.2f} ± {result['standard_error']:.2f}",
        f"{100 * result['violation_share']:.2f} %",
        "-" if cost is None else f"{cost:.3f}",
    ]


def mpc(made: dict[str, Any]) -> str:
    """Plans a second of each horizon, beside gym-anm where it was measured."""
    theirs = {
        row["steps"]: row["plans_per_s"]["median"] for row in made["rows"] if row["solver"] == "gym-anm"
    }
    cells = []
    for row in made["rows"]:
        if row["solver"] == "gym-anm":
            continue
        rate, peer = row["plans_per_s"]["median"], theirs.get(row["steps"])
        error = row.get("max_value_error")
        cells.append(
            [
                str(row["steps"]),
                row["dtype"],
                f"{rate:,.0f}",
                f"{1e6 / (rate * row['steps']):.1f}",
                f"{rate / peer:,.0f}" if peer else "-",
                f"{error:.0e}" if error is not None else "-",
                f"{100 * row['converged']:.0f} %",
                f"{row['trace_s'] + row['compile_s']:.1f}",
            ]
        )
    rates = [f"{rate:.1f} plans/s at N = {steps}" for steps, rate in theirs.items()]
    header = [
        "N",
        "dtype",
        "plans/s",
        "us a plan and stage",
        "x gym-anm",
        "value off by",
        "converged",
        "compile, s",
    ]
    note = (
        f"ANM6Easy-v0, perfect forecast, {made['rows'][0]['batch']:,} grids at once. gym-anm's agent "
        f"(cvxpy, as it comes): {', '.join(rates)}. "
        "Value off by: largest relative error of the optimal value of gym-anm's own problem, on 8 states."
    )
    return "\n".join([source(made), "", grid(header, cells), "", note])

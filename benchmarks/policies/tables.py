"""Tables of what policies reach on a task, from records."""

from __future__ import annotations

from operator import itemgetter
from statistics import fmean
from typing import Any, NamedTuple

from anmjax.agents.baselines import BASELINES
from anmjax.agents.registry import AGENTS
from benchmarks.harness.columns import COMPILE, Column, Row, digits, percent, source, table


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
    "spreads returns by about 10; here every policy begins from the same stated starts. Decision trees "
    "measured here are those of figure 4 in [2], the best there; what [2] gives is a mean of several."
)


def discounted_return(result: dict[str, Any]) -> str:
    """The discounted return of an evaluation, with its standard error."""
    return f"{result['discounted_return']:.2f} ± {result['standard_error']:.2f}"


# What a policy reached, in a row that has its evaluation.
REACHED = (
    Column("discounted return", "evaluation", discounted_return, missing=""),
    Column("violations", "evaluation.violation_share", percent, missing=""),
    Column("cost a day", "evaluation", lambda result: shown(result["cost_per_day"]), missing=""),
)


def shown(cost: float | None) -> str:
    """A cost a day, of those whose horizon has one."""
    return "-" if cost is None else f"{cost:.3f}"


PAIRED = (
    Column("policy", "less"),
    Column("discounted return", "their_return", ".3f"),
    Column("difference", "mean", "+.3f"),
    Column("95 % interval", lambda pair: f"{pair['low']:+.3f} to {pair['high']:+.3f}"),
)
CLAIRVOYANT = (
    Column("t0", "t0"),
    Column("SHAC", lambda row: _before(row, "shac"), ".3f", missing=""),
    Column("planner", lambda row: _before(row, "planner"), ".3f", missing=""),
    Column("best known return", "return", ".3f"),
    Column("SHAC's gap", lambda row: _gap(row), ".3f", missing=""),
    Column("begun from", "begun_from", missing=""),
    Column("cost a day", "cost_per_day", ".4f"),
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
    measured = [row["policy"] for row in rows]
    others = [{"policy": name} for name in said if name not in measured]
    columns = [
        Column("policy", "policy"),
        *REACHED,
        Column("published returns", lambda row: said.get(row["policy"], "")),
    ]
    return f"{table(columns, [*rows, *others])}\n\n{protocol(rows[0]['evaluation'])} {SOURCES}"


def _by_ac(row: dict[str, Any], paired: list[dict[str, Any]]) -> str:
    gained, violations, cost = (column.cell(row) for column in REACHED)
    said = (
        f"`{row['policy']}` plans by the AC power flow. From {row['evaluation']['num_starts']} of these "
        f"starts, t0 = 0, 6, .., 90: return {gained}, violations {violations}, cost a day {cost}. Its return "
        "less that of the others from the same starts, paired:"
    )
    return f"{said}\n\n{table(PAIRED, paired)}"


def _by_settings(rows: list[dict[str, Any]]) -> str:
    """Returns and costs of one planner, a line for every horizon and a column for every margin."""
    margins = sorted({row["safety_margin"] for row in rows})
    at = {(row["planning_steps"], row["safety_margin"]): row["evaluation"] for row in rows}
    by_steps = [
        {"N": steps} | {f"{margin:g}": at[steps, margin] for margin in margins}
        for steps in sorted({steps for steps, _ in at})
    ]
    columns = [
        Column("N", "N"),
        *(Column(f"{margin:g}", itemgetter(f"{margin:g}"), return_and_cost) for margin in margins),
    ]
    first = rows[0]["evaluation"]
    said = (
        f"`{rows[0]['policy']}`: discounted return over {first['horizon']} steps / cost of the last day, "
        f"{first['num_starts']} starts, by planning steps and safety margin:"
    )
    return f"{said}\n\n{table(columns, by_steps)}"


def return_and_cost(result: dict[str, Any]) -> str:
    """The discounted return of an evaluation, and the cost of its last day."""
    return f"{result['discounted_return']:.2f} / {result['cost_per_day'] or 0:.3f}"


def protocol(result: dict[str, Any]) -> str:
    """How discounted returns and the other figures were made."""
    return (
        f"Discounted return: gamma {result['gamma']:g}, {result['horizon']} steps, mean and standard error "
        f"over {result['num_starts']} starts. Violations: share of steps with a voltage or branch limit "
        "exceeded. Cost a day: undiscounted, over the last day."
    )


def clairvoyant(made: dict[str, Any]) -> str:
    """The best known return from each start, task by task, beside those of the policies it was begun from."""
    parts = [source(made)]
    for task in dict.fromkeys(row["task"] for row in made["rows"]):
        rows = [row for row in made["rows"] if row["task"] == task]
        mean: dict[str, Any] = {"t0": "mean", "from": []}
        mean |= {name: fmean(row[name] for row in rows) for name in ("return", "cost_per_day")}
        for name in ("shac", "planner"):
            found = [_before(row, name) for row in rows]
            if None not in found:
                mean["from"].append({"beginning": name, "before": fmean(x for x in found if x is not None)})
        parts += ["", f"{task}:", "", table(CLAIRVOYANT, [*rows, mean])]
    note = (
        "Discounted returns over 3000 steps. SHAC sees the state alone; the planner, by the AC power flow, "
        "is told the future, as is what improves them. Gap: of SHAC's to the best known return."
    )
    return "\n".join([*parts, "", note])


def _before(row: Row, beginning: str) -> float | None:
    """The return of a policy, of planners the better one, before its actions were improved."""
    found = [one["before"] for one in row["from"] if one["beginning"].startswith(beginning)]
    return max(found, default=None)


def _gap(row: Row) -> float | None:
    own = _before(row, "shac")
    return None if own is None else row["return"] - own


def mpc(made: dict[str, Any]) -> str:
    """Plans a second of each horizon, beside gym-anm where it was measured."""
    theirs = {
        row["steps"]: row["plans_per_s"]["median"] for row in made["rows"] if row["solver"] == "gym-anm"
    }
    ours = [row for row in made["rows"] if row["solver"] != "gym-anm"]

    def times(row: Row) -> float | None:
        peer = theirs.get(row["steps"])
        return row["plans_per_s"]["median"] / peer if peer else None

    columns = [
        Column("N", "steps"),
        Column("dtype", "dtype"),
        Column("plans/s", "plans_per_s.median", ",.0f"),
        Column("us a plan and stage", lambda row: 1e6 / (row["plans_per_s"]["median"] * row["steps"]), ".1f"),
        Column("x gym-anm", times, ",.0f", missing="-"),
        Column("value off by", "max_value_error", ".0e", missing="-"),
        Column("converged", "converged", lambda share: f"{100 * share:.0f} %"),
        COMPILE,
    ]
    rates = [f"{rate:.1f} plans/s at N = {steps}" for steps, rate in theirs.items()]
    note = (
        f"ANM6Easy-v0, perfect forecast, {made['rows'][0]['batch']:,} grids at once. gym-anm's agent "
        f"(cvxpy, as it comes): {', '.join(rates)}. "
        "Value off by: largest relative error of the optimal value of gym-anm's own problem, on 8 states."
    )
    return "\n".join([source(made), "", table(columns, ours), "", note])


def starts(made: dict[str, Any]) -> str:
    """Policies from other starts, compared pair by pair."""
    columns = [
        Column("from", "evaluation.starts"),
        Column("policy", "policy"),
        *REACHED,
        Column("SHAC's return less this", "first_less_this.mean", "+.3f", missing=""),
        Column("95 % interval", "first_less_this", _interval, missing=""),
    ]
    parts = [f"Horizon {made['horizon']} steps: {source(made)}"]
    for task in dict.fromkeys(row["task"] for row in made["rows"]):
        parts += ["", f"{task}:", "", table(columns, [row for row in made["rows"] if row["task"] == task])]
    by_charge = [row for row in made["rows"] if "by_charge" in row]
    if by_charge:
        charges = by_charge[0]["by_charge"]
        of_charges = [Column(f"{charge} MWh", f"by_charge.{charge}", ".2f") for charge in charges]
        parts += ["", "Discounted return by the charge at the start:", ""]
        of_whom = Column("policy", lambda row: f"{row['policy']}, {row['evaluation']['num_starts']} starts")
        parts += [table([of_whom, *of_charges], by_charge)]
    return "\n".join(parts)


ORDER = [*BASELINES, *AGENTS]  # of the lines of the suite's tables


def suite(made: dict[str, Any]) -> str:
    """Every policy on every part of every task: a line for each policy, and what it costs on each part."""
    parts = [source(made)]
    for task in dict.fromkeys(row["task"] for row in made["rows"]):
        rows = [row for row in made["rows"] if row["task"] == task]
        of_parts = {row["part"]: row["evaluation"]["num_starts"] for row in rows}
        held_out = "test" if "test" in of_parts else next(iter(of_parts))
        starts = ", ".join(f"{count} of {part}" for part, count in of_parts.items())
        rows.sort(key=lambda row: ORDER.index(row["policy"]))
        trained = {row["policy"]: row["total_steps"] for row in rows if row["total_steps"]}
        steps = "; ".join(f"{name} {count / 1e6:.1f} M steps" for name, count in trained.items())
        lines: dict[Any, dict[str, Any]] = {}
        for row in rows:
            whose = {"policy": row["policy"], "seed": row["seed"]}
            lines.setdefault(tuple(whose.values()), whose)[row["part"]] = row["evaluation"]
        columns = [
            Column("policy", "policy"),
            *([Column("seed", "seed", missing="")] if len({row["seed"] for row in rows}) > 2 else []),
            *(Column(f"cost a day, {part}", part, _cost_of_a_day, missing="") for part in of_parts),
            Column(f"violating steps, {held_out}", f"{held_out}.violation_share", percent, missing=""),
            Column("of voltages", f"{held_out}.voltage_share", percent, missing=""),
            Column("of ratings", f"{held_out}.branch_share", percent, missing=""),
            Column("collapses", f"{held_out}.collapses", missing=""),
            Column("return", held_out, discounted_return, missing=""),
        ]
        said = f"{task}, days: {starts}{steps and f'; trained for: {steps}'}."
        parts += ["", said, "", table(columns, list(lines.values()))]
    return "\n".join(parts)


def _cost_of_a_day(result: dict[str, Any]) -> str:
    cost = result["cost_per_day"]
    return "-" if cost is None else digits(cost)


def _interval(less: dict[str, float]) -> str:
    return f"{less['low']:+.3f} to {less['high']:+.3f}"

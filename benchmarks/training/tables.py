"""Tables of trainings, from records: env steps per second, over devices, and what is learned."""

from __future__ import annotations

from typing import Any

from benchmarks.harness.columns import Column, Row, low_to_high, millions, source, table

POWERZOOJAX = 92_000  # env steps/s of PPO on a 33-bus AC task, RTX 4500 Ada, as its authors published it

PPO = (
    Column("task", "task"),
    Column("grids", "num_envs", ","),
    Column("hidden layers", "hidden_sizes", lambda sizes: " x ".join(map(str, sizes))),
    Column("networks in", "network_dtype"),
    Column("seeds", "seeds"),
    Column("M env steps/s", "steps_per_s.median", millions),
    Column("low to high", "steps_per_s", low_to_high),
    Column("ready in", "ready_s", "{:.0f} s".format),
)


def ppo(made: dict[str, Any]) -> str:
    """Env steps per second that PPO learns from."""
    return "\n".join(
        [
            f"The compiled updates of a training, collecting and learning: {source(made)}",
            "",
            table(PPO, made["rows"]),
            "",
            f"Collecting alone, in the first row: {millions(made['collect_per_s']['median'])} M/s. Ready in: "
            "from the task's id to the end of the first update, tracing and compiling included. The authors "
            f"of PowerZooJax publish {POWERZOOJAX:,} env steps/s for PPO on 33 buses, on an RTX 4500 Ada.",
        ]
    )


def scaling(made: dict[str, Any]) -> str:
    """Speed and learning curves over devices and processes."""
    rows = made["rows"]
    one = rows[0]["float32"]["steps_per_s"]
    columns = [
        Column("processes x devices", lambda row: f"{row['processes']} x {row['devices']}"),
        Column("env steps/s", "float32.steps_per_s", ",.0f"),
        Column("over one device", lambda row: row["float32"]["steps_per_s"] / one, ".2f"),
        Column(
            f"curve off, float64, {rows[0]['float64']['updates']} updates",
            lambda row: max(row["float64"]["difference"]),
            ".1e",
        ),
        Column("float32, first row", lambda row: row["float32"]["difference"][0], ".1e"),
        Column(
            f"last of {rows[0]['float32']['updates']} updates",
            lambda row: row["float32"]["difference"][-1],
            ".1e",
        ),
    ]
    return "\n".join(
        [
            f"`anmjax train {made['task']}` with {made['num_envs']} grids: {source(made)}",
            "",
            table(columns, rows),
            "",
            "Curve off: largest difference of a row of metrics from one device's, relative to the metric's "
            "largest size. In float32 rounding grows from update to update, as between two machines.",
        ]
    )


def returns(made: dict[str, Any]) -> str:
    """What every seed of every learner came to, and when it passed which return."""
    parts = [f"Trainings with defaults: {source(made)}"]
    for task in dict.fromkeys(row["task"] for row in made["rows"]):
        rows = [row for row in made["rows"] if row["task"] == task]
        columns = [
            Column("learner, seed", lambda row: f"{row['agent']}, {row['seed']}"),
            Column("M env steps", "env_steps", millions),
            Column("seconds", "total_s", ".0f"),
            Column("of which ready", "ready_s", ".0f"),
            *(_passing(level) for level in rows[0]["passed"]),
            Column("return", "return", ".3f"),
            Column("of 16 starts", "return_of_every_sixth", ".3f"),
            Column("cost of the last day", "cost_of_last_day", ".3f"),
            Column("its violating steps", "violating_steps_of_last_day", ".0f"),
        ]
        parts += ["", f"{task}:", "", table(columns, rows)]
    note = (
        "Return: discounted, over 3000 steps, mean over the 96 starts of the task, deterministic; of 16: "
        "every sixth of them. Ready: from making the agent to the first update, compiling included. First "
        "above: when an evaluation first passed that return, in millions of steps and in seconds after the "
        "first update. Violating steps: of 96 on each of 96 starts."
    )
    return "\n".join([*parts, "", note])


def search(made: dict[str, Any]) -> str:
    """What defaults and their neighbours came to, task by task."""
    tasks = list(dict.fromkeys(row["task"] for row in made["rows"]))
    rows: list[Row] = []
    for variant in dict.fromkeys(row["variant"] for row in made["rows"]):
        found: dict[str, Any] = {"option": variant.replace("=", " = ") or "defaults"}
        for task in tasks:
            own = [row for row in made["rows"] if (row["variant"], row["task"]) == (variant, task)]
            if own:
                found[task] = sum(row["return"] for row in own) / len(own)
                found[f"{task} worst"] = min(row["return"] for row in own)
        rows.append(found)
    columns = [Column("option", "option")]
    for task in tasks:
        columns += [Column(task, task, ".3f", missing="")]
        columns += [Column("worst", f"{task} worst", ".3f", missing="")]
    seeds, steps = len({row["seed"] for row in made["rows"]}), millions(made["steps"])
    note = (
        f"Returns as above, means of {seeds} seeds and the worst of them, after {steps} M env steps, with "
        "one option other than the defaults."
    )
    if made["not_begun"]:
        note += f" Not tried, time being up: {', '.join(made['not_begun'])}."
    return "\n".join([source(made), "", table(columns, rows), "", note])


def constrained(made: dict[str, Any]) -> str:
    """What energy costs under limits on violations and under weights of them, task by task."""
    columns = [
        Column(
            "policy",
            lambda row: f"{row['agent']}, {row['kind']} {row['value']:g}" if row["kind"] else row["agent"],
        ),
        Column("violations in training", "cost_of_training", ".4f", missing=""),
        Column("over the limit", _over, "+.1%", missing=""),
        Column("violations", "cost", ".4f"),
        Column("of the steps", "violation_share", ".1%"),
        Column("energy lost, MWh a day", "energy_mwh_a_day", ".1f"),
    ]
    parts = [source(made)]
    for task in dict.fromkeys(row["task"] for row in made["rows"]):
        parts += ["", f"{task}:", "", table(columns, [row for row in made["rows"] if row["task"] == task])]
    trained = {row["agent"] for row in made["rows"] if row["kind"]}
    steps = ", ".join(f"{name} {millions(n)}" for name, n in made["steps"].items() if name in trained)
    note = (
        f"M env steps: {steps}; one seed. Limit: on the mean, over training steps, of the sum of "
        "`state.costs`, p.u., with the energy lost as reward. Weight: `lamb` of the reward, without a limit. "
        "Violations in training: that mean over the last fifth of the training. Violations, of the steps and "
        "energy lost: deterministic, from the task's own starts, the fourth day, curtailment included."
    )
    return "\n".join([*parts, "", note])


def stacks(made: dict[str, Any]) -> str:
    """Steps a second of Stable-Baselines3 and of ours, on gym-anm and on this package."""
    rates = {row["name"]: row["steps_per_s"]["median"] for row in made["rows"]}
    alone, learning = rates["gym-anm"], rates["SB3 PPO on gym-anm"]
    learners = list(rates)[list(rates).index("SB3 PPO on gym-anm") :]

    def times(row: Row) -> float:
        return rates[row["name"]] / (learning if row["name"] in learners else alone)

    columns = [
        Column("what steps", "name"),
        Column("steps/s", "steps_per_s.median", ",.0f"),
        Column("low to high", lambda row: "{low:,.0f} to {high:,.0f}".format(**row["steps_per_s"])),
        Column("over gym-anm", times, ",.0f"),
    ]
    note = (
        f"{made['task']}. Random actions, then learners: those are compared with Stable-Baselines3's PPO on "
        "gym-anm. Episodes are cut after a day."
    )
    return "\n".join([source(made), "", table(columns, made["rows"]), "", note])


def _over(row: Row) -> float | None:
    return row["cost_of_training"] / row["value"] - 1 if row["kind"] == "limit" else None


def _passing(level: str) -> Column:
    def cell(row: Row) -> str | None:
        first = row["passed"].get(level)
        return first and f"{millions(first['env_steps'])} M, {first['seconds']:.0f} s"

    return Column(f"first above {float(level):g}", cell, missing="never")

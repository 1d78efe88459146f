"""Tables of environment steps per second, and of where the time of a step goes, from records."""

from __future__ import annotations

from typing import Any

from benchmarks.env_step.tasks import A_DAY, YEAR
from benchmarks.harness.columns import Column, low_to_high, millions, source, table


def env_step(made: dict[str, Any]) -> str:
    """Steps per second against batch size and otherwise, then against gym-anm if that was measured."""
    rows = made["rows"]
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    rates = {(row["what"], row["task"], row["batch"]): row["steps_per_s"] for row in rows}
    parts = {row["part"] for row in rows if row["what"] == "in parts"}
    columns = [Column("grids", "grids", ",")]
    for task in tasks:
        columns += [
            Column(f"{task}, M/s", f"{task}.batch.median", millions, missing=""),
            Column("low to high", f"{task}.batch", low_to_high, missing=""),
            *(
                Column(f"{part:,} at a time", f"{task}.in parts.median", millions, missing="")
                for part in parts
            ),
        ]
    by_batch = [
        {"grids": batch}
        | {task: {what: rates.get((what, task, batch)) for what in ("batch", "in parts")} for task in tasks}
        for batch in sorted({row["batch"] for row in rows if row["what"] == "batch"})
    ]
    first = made["first_call"]
    lines = [
        f"Random actions, auto reset, float32: {source(made)}",
        "",
        table(columns, by_batch),
        "",
        *(
            f"{part:,} at a time: so many grids of a device take all steps of a call before the next ones do."
            for part in parts
        ),
        "",
        *(_otherwise(task, made["rows"]) for task in tasks),
        "",
        f"First call on {tasks[0]} with {first['batch']:,} grids, tracing and compiling included: `reset` "
        f"{first['reset_s']:.1f} s, `step` {first['step_s']:.1f} s.",
    ]
    if "comparison" in made:
        lines += ["", _against_gym_anm(made["comparison"], made["versions"]["gym-anm"])]
    return "\n".join(lines)


def _otherwise(task: str, rows: list[dict[str, Any]]) -> str:
    """Memory, call length, precision and auto reset of a task, in sentences."""
    own = [row for row in rows if row["task"] == task]
    batches = [row for row in own if row["what"] == "batch"]
    largest = max(batches, key=lambda row: row["batch"])
    rate = {row["what"]: row["steps_per_s"]["median"] for row in own}
    calls = {
        row["steps_a_call"]: row["steps_per_s"]["median"] for row in own if row["what"] == "steps a call"
    }
    said = (
        f"- {task}: a grid's state takes {largest['state_bytes_per_lane']:.0f} bytes, and "
        f"{largest['temp_bytes'] / largest['batch']:.0f} more while {largest['batch']:,} of them step."
    )
    if not calls:
        return said
    best = next(row["batch"] for row in own if row["what"] == "steps a call")
    said += (
        f" With {best:,} grids: "
        + ", ".join(f"{millions(value)} M/s in calls of {steps}" for steps, value in calls.items())
        + f"; float64 {millions(rate['float64'])} M/s, float32 beside it {millions(rate['float32'])} M/s."
    )
    cost = 100 * (rate["gentle actions, no auto reset"] / rate["gentle actions"] - 1)
    costs = f"costs {cost:.0f} % of a step" if cost >= 1 else "costs nothing measurable"
    return said + f" Auto reset {costs} (with actions that end no episode)."


def _against_gym_anm(versus: dict[str, Any], version: str) -> str:
    one, many = versus["gym_anm_one_process"]["median"], versus["gym_anm_process_per_core"]["median"]
    return (
        f"ANM6Easy-v0 measured in turn with gym-anm {version} on the same {versus['cores']} cores: anmjax "
        f"{versus['anmjax']['median']:,.0f} steps/s ({versus['batch']:,} grids, auto reset), gym-anm "
        f"{one:.0f} steps/s in one process ({versus['ratio_one_process']:,.0f} times) and "
        f"{many:.0f} steps/s in one process a core ({versus['ratio_process_per_core']:,.0f} times)."
    )


def env_step_tasks(made: dict[str, Any]) -> str:
    """Steps per second of every task, and what the table of a year costs."""
    rows = {row["task"]: row for row in made["rows"]}
    rows.pop(A_DAY, None)
    columns = [
        Column("task", "task"),
        Column("buses", "buses"),
        Column("M/s", "steps_per_s.median", millions),
        Column("low to high", "steps_per_s", low_to_high),
        Column("bytes a grid", "state_bytes_per_lane", ",.0f"),
    ]
    first = made["rows"][0]
    lines = [
        f"Random actions, auto reset, {first['dtype']}, {first['batch']:,} grids: {source(made)}",
        "",
        table(columns, sorted(rows.values(), key=lambda row: row["buses"])),
    ]
    if share := rows.get(YEAR, {}).get("of_two_days"):
        lines += [
            "",
            f"{YEAR} makes {share['median']:.3f} ± {share['error']:.3f} times the steps of the same task on "
            f"two days of its year (median of {share['rounds']} rounds in turn, and its standard error).",
        ]
    return "\n".join(lines)


def env_step_parts(made: dict[str, Any]) -> str:
    """Phases of a step: nanoseconds on a core, operations, and the floors."""
    rows = made["rows"]
    columns = [Column("phase", "phase")]
    for row in rows:
        task = row["task"]
        columns += [
            Column(f"{task}, ns", f"{task}.ns", ".0f"),
            Column("operations", f"{task}.operations", ",", missing=""),
        ]
    phases = [
        {"phase": name}
        | {
            row["task"]: {"ns": row["ns_a_lane"][name], "operations": row["operations"].get(name) or None}
            for row in rows
        }
        for name in rows[0]["ns_a_lane"]
    ]
    lines = [f"One core, float32, {rows[0]['batch']:,} grids: {source(made)}", "", table(columns, phases), ""]
    core = made["core"]
    for row in rows:
        total, whole = sum(row["operations"].values()), row["ns_a_lane"]["step with auto reset"]
        lines.append(
            f"- {row['task']}: {total:,} operations a step ({row['updates']:.1f} Newton updates of "
            f"{row['operations_of_an_update']:,}) on {row['bytes']:.0f} bytes of state. Floor of this core "
            f"({core['flops'] / 1e9:.0f} Gflop/s, {core['bytes'] / 1e9:.0f} GB/s): {row['core_ns']:.0f} ns, "
            f"of which the step reaches {100 * row['core_ns'] / whole:.0f} %. Floor of an H200 (60 Tflop/s, "
            f"4.3 TB/s): {row['h200_ns']:.2f} ns, {1 / row['h200_ns']:.1f} billion steps/s."
        )
    return "\n".join(lines)

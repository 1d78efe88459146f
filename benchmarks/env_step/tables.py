"""Tables of steps per second, of environments and of PPO, from records."""

from __future__ import annotations

from typing import Any

from benchmarks.harness.columns import grid, source

POWERZOOJAX = 92_000  # env steps/s of PPO on a 33-bus AC task, RTX 4500 Ada, as its authors published it


def millions(value: float) -> str:
    """A rate in millions, to three digits."""
    return f"{value / 1e6:.3g}"


def env_step(made: dict[str, Any]) -> str:
    """Steps per second against batch size and otherwise, then against gym-anm if that was measured."""
    rows = made["rows"]
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    rates = {(row["what"], row["task"], row["batch"]): row["steps_per_s"] for row in rows}
    parts = {row["part"] for row in rows if row["what"] == "in parts"}
    header, cells = ["grids"], []
    for task in tasks:
        header += [f"{task}, M/s", "low to high", *(f"{part:,} at a time" for part in parts)]
    for batch in sorted({row["batch"] for row in rows if row["what"] == "batch"}):
        cells.append([f"{batch:,}"])
        for task in tasks:
            rate, in_parts = rates.get(("batch", task, batch)), rates.get(("in parts", task, batch))
            cells[-1] += [
                millions(rate["median"]) if rate else "",
                f"{millions(rate['low'])} to {millions(rate['high'])}" if rate else "",
                *(millions(in_parts["median"]) if in_parts else "" for _ in parts),
            ]
    first = made["first_call"]
    lines = [
        f"Random actions, auto reset, float32: {source(made)}",
        "",
        grid(header, cells),
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


def ppo(made: dict[str, Any]) -> str:
    """Env steps per second that PPO learns from."""
    header = [
        "task",
        "grids",
        "hidden layers",
        "networks in",
        "seeds",
        "M env steps/s",
        "low to high",
        "ready in",
    ]
    cells = [
        [
            row["task"],
            f"{row['num_envs']:,}",
            " x ".join(map(str, row["hidden_sizes"])),
            row["network_dtype"],
            str(row["seeds"]),
            millions(row["steps_per_s"]["median"]),
            f"{millions(row['steps_per_s']['low'])} to {millions(row['steps_per_s']['high'])}",
            f"{row['ready_s']:.0f} s",
        ]
        for row in made["rows"]
    ]
    return "\n".join(
        [
            f"The compiled updates of a training, collecting and learning: {source(made)}",
            "",
            grid(header, cells),
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
    cells = [
        [
            f"{row['processes']} x {row['devices']}",
            f"{row['float32']['steps_per_s']:,.0f}",
            f"{row['float32']['steps_per_s'] / one:.2f}",
            f"{max(row['float64']['difference']):.1e}",
            f"{row['float32']['difference'][0]:.1e}",
            f"{row['float32']['difference'][-1]:.1e}",
        ]
        for row in rows
    ]
    header = [
        "processes x devices",
        "env steps/s",
        "over one device",
        f"curve off, float64, {rows[0]['float64']['updates']} updates",
        "float32, first row",
        f"last of {rows[0]['float32']['updates']} updates",
    ]
    return "\n".join(
        [
            f"`anmjax train {made['task']}` with {made['num_envs']} grids: {source(made)}",
            "",
            grid(header, cells),
            "",
            "Curve off: largest difference of a row of metrics from one device's, relative to the metric's "
            "largest size. In float32 rounding grows from update to update, as between two machines.",
        ]
    )


def env_step_parts(made: dict[str, Any]) -> str:
    """Phases of a step: nanoseconds on a core, operations, and the floors."""
    rows = made["rows"]
    cells = []
    for name in rows[0]["ns_a_lane"]:
        cells.append([name])
        for row in rows:
            operations = row["operations"].get(name)
            cells[-1] += [f"{row['ns_a_lane'][name]:.0f}", f"{operations:,}" if operations else ""]
    header = ["phase", *(text for row in rows for text in (f"{row['task']}, ns", "operations"))]
    lines = [f"One core, float32, {rows[0]['batch']:,} grids: {source(made)}", "", grid(header, cells), ""]
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

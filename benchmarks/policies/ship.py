"""Puts the policy of a training into the package, with what made it and what it scores.

``python -m benchmarks.policies.ship RUN``: the folder of a finished ``anmjax train``. Of several seeds, take
the one in the middle: what users get is then what they may expect of a training of their own.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
from pathlib import Path

import jax

import anmjax
from anmjax.agents.evaluation import evaluate, starts_of
from anmjax.agents.policies import FOLDER, RECORD, made
from anmjax.agents.training.checkpoint import load, restore_policy, save_policy
from anmjax.agents.training.run_folder import CHECKPOINT_FILE
from benchmarks.harness import record


def main() -> None:
    """Writes the policy and its entry of ``policies.json``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.policies.ship", description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a training")
    run = parser.parse_args().run
    checkpoint = load(run / CHECKPOINT_FILE)
    env = anmjax.make(checkpoint.task, **checkpoint.overrides)
    starts, described = starts_of(env, jax.random.key(0))
    outcome = evaluate(env, restore_policy(checkpoint, env), starts, described=described)
    name, commit = f"{checkpoint.agent}@{checkpoint.task}", record.commit()  # before anything is written
    save_policy(FOLDER / f"{name}.msgpack", checkpoint)
    command = json.loads((run / "run.json").read_text())["commands"][-1]["command"]
    entry = {
        # The folder plays no part in what was learned.
        "command": re.sub(r" --out \S+", "", command),
        "seed": checkpoint.seed,
        "env_steps": checkpoint.env_steps,
        "seconds": round(checkpoint.seconds, 1),
        "discounted_return": round(outcome.discounted_return, 4),
        "starts": described,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": record.machine(),
        "versions": {name: record.versions()[name] for name in ("python", "anmjax", "jax", "flax")},
        **commit,
    }
    RECORD.write_text(json.dumps(made() | {name: entry}, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{name}: {outcome.discounted_return:.4f}")


if __name__ == "__main__":
    main()

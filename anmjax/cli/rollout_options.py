"""``anmjax rollout``: its options, and what can be refused before JAX starts."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

from anmjax.agents.ranges import Whole
from anmjax.agents.training.run_folder import CHECKPOINT_FILE
from anmjax.cli.errors import CommandError
from anmjax.cli.evaluate_options import SEEDS, STARTS, add_cache_option
from anmjax.cli.outputs import check_files
from anmjax.cli.screen import say_starting
from anmjax.cli.typed_numbers import within

STEPS = Whole(1, 10**7)
ENDINGS = (".npz", ".csv", ".parquet")

EXAMPLES = """\
examples:
  anmjax rollout do-nothing --task ANM6Easy-v0 --out steps.csv
  anmjax rollout shac@ANM6Easy-v0 --starts 32 --steps 672 --out weeks.npz
"""


def add_rollout_options(parser: argparse.ArgumentParser, _: str) -> None:
    """Adds the options of ``rollout``."""
    parser.add_argument(
        "policy",
        metavar="POLICY",
        help="a checkpoint, its folder, a policy of the package (shac@TASK), or a baseline, as for evaluate",
    )
    parser.add_argument("--task", help="task to act on, or module:name (default: the checkpoint's)")
    parser.add_argument(
        "--starts",
        type=within(STARTS),
        metavar="N",
        help="how many of the task's own starts, evenly spread, or how many to draw where it has none "
        "(default: all of its own, or 96)",
    )
    parser.add_argument("--drawn", action="store_true", help="draw the starts, even if the task has its own")
    parser.add_argument(
        "--steps", type=within(STEPS), default=96, metavar="N", help="steps a start (default: 96)"
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="FILE",
        help="what to write: a table of named columns (.csv, .parquet) or arrays for offline learners (.npz)",
    )
    parser.add_argument("--seed", type=within(SEEDS), default=0, metavar="N", help="random seed (default: 0)")
    add_cache_option(parser)


def run_rollout(arguments: argparse.Namespace) -> int:
    """Checks the command, then starts JAX and carries it out.

    Raises:
      CommandError: says what is wrong with the command.
    """
    out, policy = arguments.out, arguments.policy
    ending = Path(out).suffix
    if ending not in ENDINGS:
        raise CommandError(f"--out is {out[:80]}, but must end in one of {', '.join(ENDINGS)}.")
    if ending == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise CommandError(f"--out {out[:80]} needs pyarrow: pip install 'anmjax[data]'.")
    check_files({"--out": out}, [Path(policy), Path(policy) / CHECKPOINT_FILE])
    say_starting()
    with arguments.stopping.loading():
        from anmjax.cli.rollout import run

    return run(arguments)

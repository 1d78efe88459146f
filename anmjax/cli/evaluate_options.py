"""``anmjax evaluate``: its options."""

from __future__ import annotations

import argparse

from anmjax.agents.ranges import Whole
from anmjax.cli.typed_numbers import number, within

SEEDS = Whole(0, 2**32 - 1)  # all that JAX keeps of a seed by default
DEVICES = Whole(1, 2**12)
HORIZONS = Whole(1, 10**7)
STARTS = Whole(1, 10**6)

EXAMPLES = """\
examples:
  anmjax evaluate runs/ANM6Easy-v0-seed0-20260101-120000
  anmjax evaluate random do-nothing --task ANM6Easy-v0 --json scores.json
"""


def add_cache_option(parser: argparse.ArgumentParser) -> None:
    """Adds ``--no-cache``, of all commands that compile."""
    parser.add_argument(
        "--no-cache",
        action="store_true",
        help="compile anew: neither use nor keep compiled programs of other commands",
    )


def add_evaluate_options(parser: argparse.ArgumentParser, _: str) -> None:
    """Adds the options of ``evaluate``."""
    parser.add_argument(
        "policy",
        nargs="+",
        metavar="POLICY",
        help="a checkpoint, its folder, a policy of the package (shac@TASK), or a baseline: random, "
        "do-nothing, mpc-constant, mpc-perfect, mpc-constant-ac, mpc-perfect-ac",
    )
    parser.add_argument("--task", help="task to act on, or module:name (default: the checkpoint's)")
    parser.add_argument(
        "--horizon", type=within(HORIZONS), default=3000, metavar="N", help="steps a start (default: 3000)"
    )
    parser.add_argument(
        "--num-starts",
        type=within(STARTS),
        default=96,
        metavar="N",
        help="starts to draw, if the task has none or with --drawn (default: 96)",
    )
    parser.add_argument("--drawn", action="store_true", help="draw the starts, even if the task has its own")
    parser.add_argument(
        "--soc",
        type=number,
        nargs="+",
        metavar="MWH",
        help="the task's own starts with each of these charges (default: the task's charge)",
    )
    parser.add_argument(
        "--devices",
        type=within(DEVICES),
        metavar="N",
        help="JAX devices to make of a CPU (default: one a core)",
    )
    parser.add_argument("--seed", type=within(SEEDS), default=0, metavar="N", help="random seed (default: 0)")
    add_cache_option(parser)
    parser.add_argument("--json", metavar="FILE", help="also write the results to this file")
    parser.add_argument("--csv", metavar="FILE", help="also write a row for every policy to this file")
    parser.add_argument(
        "--plot", metavar="FILE", help="also draw the second day from the first start under each policy"
    )
    parser.add_argument(
        "--plot-scores", metavar="FILE", help="also draw the table: returns, violations, costs of a day"
    )

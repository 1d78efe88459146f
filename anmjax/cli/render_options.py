"""``anmjax render``: its options, and what can be refused before JAX starts."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from anmjax.agents.ranges import Whole
from anmjax.agents.training.run_folder import CHECKPOINT_FILE
from anmjax.cli.errors import CommandError
from anmjax.cli.evaluate_options import SEEDS, add_cache_option
from anmjax.cli.outputs import check_files
from anmjax.cli.screen import say_starting
from anmjax.cli.typed_numbers import within

HORIZONS = Whole(1, 10**5)  # a browser holds all of it

EXAMPLES = """\
examples:
  anmjax render do-nothing mpc-constant --task ANM6Easy-v0 --out day.html
  anmjax render runs/ANM6Easy-v0-seed0-20260101-120000 do-nothing --out day.html
  anmjax render shac@ANM6Easy-v0 --horizon 96 --out day.gif
"""


def add_render_options(parser: argparse.ArgumentParser, _: str) -> None:
    """Adds the options of ``render``."""
    parser.add_argument(
        "policy",
        nargs="+",
        metavar="POLICY",
        help="a checkpoint, its folder, a policy of the package (shac@TASK), or a baseline, as for evaluate",
    )
    parser.add_argument("--task", help="task to act on (default: that of the checkpoint)")
    parser.add_argument(
        "--out",
        required=True,
        metavar="FILE",
        help="the page to write, which a browser opens; or a film, if it ends in .gif or .mp4",
    )
    parser.add_argument(
        "--horizon", type=within(HORIZONS), metavar="N", help="steps to replay (default: two days of them)"
    )
    parser.add_argument("--seed", type=within(SEEDS), default=0, metavar="N", help="random seed (default: 0)")
    add_cache_option(parser)


def run_render(arguments: argparse.Namespace) -> int:
    """Checks the command, then starts JAX and carries it out.

    Raises:
      CommandError: says what is wrong with the command.
    """
    if twice := [name for name, count in Counter(arguments.policy).items() if count > 1]:
        raise CommandError(f"the policy {twice[0]} is named more than once.")
    inputs = [path for name in arguments.policy for path in (Path(name), Path(name) / CHECKPOINT_FILE)]
    check_files({"--out": arguments.out}, inputs)
    say_starting()
    with arguments.stopping.loading():
        from anmjax.cli.render import run

    return run(arguments)

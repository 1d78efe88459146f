"""Reads MATPOWER case files (.m, format version 2) without executing them.

The tables are read as numbers. Other statements, such as the unit conversions at the end of MATPOWER's
distribution cases, go through a small reader of arithmetic (``anmjax.grid.matlab``); what it cannot read
is refused, for a statement that is skipped would change the case.

Reference: R. D. Zimmerman and C. E. Murillo-Sanchez, MATPOWER User's Manual, Appendix B.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from anmjax.grid.cases import CaseError
from anmjax.grid.faults import Fault, NetworkError
from anmjax.grid.matlab import Unreadable, Workspace
from anmjax.grid.ppc import PowerTables, network_fields

# Text outside of comments: up to a percent sign that is in no string.
_CODE = re.compile(r"(?:[^'\"%]|'(?:[^']|'')*'|\"[^\"]*\"|['\"](?=[^'\"]*$))*")
_STRING = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"")
_FUNCTION = re.compile(r"\s*function\s+(\w+)\s*=\s*\w+\s*(?:\(\s*\))?\s*;?\s*$")
_TABLE = re.compile(r"\s*([A-Za-z][\w.]*)\s*=\s*\[([^\[\]]*)\]\s*;?\s*$")
_CELL = re.compile(r"\s*([A-Za-z][\w.]*)\s*=\s*\{.*\}\s*;?\s*$", re.DOTALL)
_BLOCK = re.compile(r"\s*(if|for|while|switch|try|parfor|unwind_protect)\b")
_END = re.compile(r"\s*(end|endif|endfunction|return)\s*;?\s*$")
_IF = re.compile(r"\s*if\s*\(?\s*([A-Za-z]\w*)\s*\)?\s*,?\s*$")

# Fields that a power flow does not depend on: costs, names, areas, and data of other studies.
_NOT_READ = {"version", "gencost", "areas", "bus_name", "branch_name", "gen_name", "gentype", "genfuel"}
_NOT_READ |= {"reserves", "softlims", "dclinecost", "A", "l", "u", "N", "fparm", "H", "Cw", "zl", "zu", "z0"}
_NOT_READ |= {"if", "success", "et", "f", "order"}
_READ = ("baseMVA", "bus", "gen", "branch", "dcline")
_DC_STATUS = 2  # column of a dcline's status


def read_matpower(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads a case file into the fields of a network, see ``Network.from_matpower``."""
    origin = f"the case {os.fspath(path)}"
    case = _read_case(path, origin)
    faults = []
    for name, value in case.items():
        if name not in _READ and name.partition(".")[0] not in _NOT_READ:
            allowed = f"must be absent: only {', '.join(_READ)} are read, and costs and names ignored"
            faults.append(Fault("network", f"mpc.{name}", _shape(value), allowed))
    required = {name: case.get(name) for name in ("baseMVA", "bus", "gen", "branch")}
    numbers = {name: value for name, value in required.items() if isinstance(value, np.ndarray)}
    faults += [Fault("network", f"mpc.{n}", None, "is required") for n in required if n not in numbers]
    dcline = case.get("dcline", ())
    for row, values in enumerate(dcline if isinstance(dcline, np.ndarray) else ()):
        status = values[_DC_STATUS] if len(values) > _DC_STATUS else None
        if status != 0:
            allowed = "must be 0 (out of service): direct-current lines are not represented"
            faults.append(Fault(f"dcline (row {row})", "BR_STATUS", status, allowed))
    if faults:
        raise NetworkError(faults, origin)
    base = numbers["baseMVA"]
    source = PowerTables(
        base_mva=float(base[0, 0]) if base.size == 1 else base,
        bus=numbers["bus"],
        gen=numbers["gen"],
        branch=numbers["branch"],
        branch_g=np.zeros(len(numbers["branch"])),
    )
    return network_fields(source, origin)


def _read_case(path: str | os.PathLike[str], origin: str) -> dict[str, np.ndarray | str]:
    """Reads the fields of the case struct.

    Raises:
      CaseError: the file cannot be read.
      NetworkError: the file holds statements beyond tables and their arithmetic.
    """
    if Path(path).suffix != ".m":
        raise CaseError(f"{os.fspath(path)}: must be a MATPOWER case file, ending in .m")
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise CaseError(f"{os.fspath(path)}: cannot be read ({error})") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")  # accents in old comments; any byte is a letter there
    workspace, struct, faults = Workspace(), "mpc", []
    skipped = 0  # depth of blocks, counted from one that is not entered
    for line, statement in _statements(text):
        if skipped:
            skipped += 1 if _BLOCK.match(statement) else -1 if _END.match(statement) else 0
            continue
        if match := _FUNCTION.match(statement):
            struct = match[1]
            continue
        if _END.match(statement):
            continue
        try:
            if statement.lstrip().startswith("function"):
                raise Unreadable("of functions only 'function mpc = name' is read, case format version 2")
            if _BLOCK.match(statement):
                skipped = 0 if _enters(statement, workspace) else 1
            elif not _read_table(statement, workspace):
                workspace.run(statement)
        except (Unreadable, RecursionError) as error:
            allowed = f"must assign a table or arithmetic on tables: {error}"
            faults.append(Fault(f"line {line}", "statement", " ".join(statement.split()), allowed))
            if _BLOCK.match(statement):
                skipped = 1
    if faults:
        raise NetworkError(faults, origin)
    prefix = f"{struct}."
    return {name.removeprefix(prefix): v for name, v in workspace.values.items() if name.startswith(prefix)}


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yields (line number, statement): lines without comments, joined while a bracket is open."""
    pending: list[str] = []
    first, depth, in_comment, continued = 0, 0, 0, False
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if bare in ("%{", "#{"):
            in_comment += 1
        elif in_comment:
            in_comment -= bare in ("%}", "#}")
            continue
        if in_comment:
            continue
        quoted = "'" in line or '"' in line
        code = line.partition("%")[0] if not quoted else _code(line)
        code, dots, _ = code.partition("...") if "..." in code else (code, "", "")
        if not code.strip() and not dots and not pending:
            continue
        first = first if pending else number
        if continued:
            pending[-1] += f" {code}"
        else:
            pending.append(code)
        continued = bool(dots)
        outside = _STRING.sub("", code) if quoted else code
        depth += sum(map(outside.count, "[{(")) - sum(map(outside.count, "]})"))
        if depth <= 0 and not continued:
            yield first, "\n".join(pending)
            pending, depth = [], 0
    if pending:
        yield first, "\n".join(pending)


def _code(line: str) -> str:
    match = _CODE.match(line)
    return match[0] if match else line


def _read_table(statement: str, workspace: Workspace) -> bool:
    """Reads ``name = [numbers]`` or ``name = {cells}``; False where the statement is neither."""
    if match := _CELL.match(statement):
        workspace.values[match[1]] = "cells"
        return True
    match = _TABLE.match(statement)
    if not match or "_" in match[2]:  # Python's float() would take 1_000
        return False
    rows = [row.replace(",", " ").split() for line in match[2].split("\n") for row in line.split(";")]
    try:
        numbers = [[float(cell) for cell in row] for row in rows if row]
    except ValueError:
        return False  # expressions among the numbers
    widths = {len(row) for row in numbers}
    if len(widths) > 1:
        raise Unreadable(f"the rows of {match[1]} have {' or '.join(map(str, sorted(widths)))} columns")
    workspace.values[match[1]] = np.array(numbers, np.float64).reshape(len(numbers), -1 if numbers else 0)
    return True


def _enters(statement: str, workspace: Workspace) -> bool:
    """Whether ``if name`` holds; blocks of any other kind are not read."""
    match = _IF.match(statement)
    value = workspace.values.get(match[1]) if match else None
    if not isinstance(value, np.ndarray):
        raise Unreadable("of blocks only 'if name ... end' is read")
    return bool(np.all(value != 0))


def _shape(value: np.ndarray | str) -> str:
    return f"a table of shape {value.shape}" if isinstance(value, np.ndarray) else "a string or cells"

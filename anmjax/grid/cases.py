"""JSON cases: a gym-anm network dict as a file, with None for an unlimited or absent value.

A case is an object with the keys ``name``, ``source`` (where the numbers come from), ``columns`` (the
column names, for the reader), ``baseMVA``, ``bus``, ``device`` and ``branch`` (lists of rows).
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any

from anmjax.grid.parsing import to_number
from anmjax.grid.tables import TABLES


class CaseError(ValueError):
    """Raised for a case that does not exist, or a file that is no JSON case."""


def list_cases() -> tuple[str, ...]:
    """Names of the packaged cases."""
    files = resources.files("anmjax.grid").joinpath("cases").iterdir()
    return tuple(sorted(f.name.removesuffix(".json") for f in files if f.name.endswith(".json")))


def load_case(case: str | os.PathLike[str]) -> dict[str, Any]:
    """Loads a JSON case as a gym-anm network dict.

    Args:
      case: name of a packaged case (``"anm6"``), or path of a file (with a separator or ``.json``).

    Returns:
      The network dict, its tables as lists of rows. Its values are checked by ``Network.from_dict``.

    Raises:
      CaseError: there is no such case, or the file is no JSON case.
    """
    if isinstance(case, str) and not case.endswith(".json") and Path(case).name == case:
        names = list_cases()
        if case not in names:
            near = get_close_matches(case.lower(), names, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}? " if near else ""
            known = f"packaged cases: {', '.join(names)}; a file is given by its path, ending in .json"
            raise CaseError(f"there is no case {case!r}: {hint}({known})")
        text = resources.files("anmjax.grid").joinpath("cases", f"{case}.json").read_text("utf-8-sig")
    else:
        try:
            text = Path(case).read_text("utf-8-sig")
        except (OSError, ValueError) as error:
            raise CaseError(f"{os.fspath(case)}: cannot be read as a text file ({error})") from error
    return _parse(text, os.fspath(case))


def save_case(path: str | os.PathLike[str], d: Mapping[str, Any], *, name: str, source: str = "") -> None:
    """Saves a gym-anm network dict as a JSON case, one row a line; infinities become null.

    Args:
      path: the file to write.
      d: network dict, as ``Network.to_dict`` gives it.
      name: name of the case.
      source: where the numbers come from.
    """
    lines = [f'  "name": {json.dumps(name)}', f'  "source": {json.dumps(source)}']
    columns = ",\n".join(f"    {json.dumps(t.name)}: {json.dumps(t.names)}" for t in TABLES)
    lines.append(f'  "columns": {{\n{columns}\n  }}')
    lines.append(f'  "baseMVA": {json.dumps(_plain(d["baseMVA"]))}')
    for table in TABLES:
        rows = ",\n".join(f"    {json.dumps([_plain(cell) for cell in row])}" for row in d[table.name])
        lines.append(f'  "{table.name}": [\n{rows}\n  ]')
    Path(path).write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


def _parse(text: str, origin: str) -> dict[str, Any]:
    """Parses a case and checks that it is one; its values are left to validation."""
    try:
        case = json.loads(text, parse_constant=_reject_constant)
    except (ValueError, RecursionError) as error:
        raise CaseError(f"{origin}: is not valid JSON ({error})") from error
    if not isinstance(case, dict):
        raise CaseError(f"{origin}: must be a JSON object with the keys baseMVA, bus, device and branch")
    columns = case.get("columns", {})
    for table in TABLES:
        if not isinstance(columns, dict) or columns.get(table.name, list(table.names)) != list(table.names):
            raise CaseError(f"{origin}: the columns of {table.name} must be {', '.join(table.names)}")
    return case


def _reject_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON, write null where a value is unlimited or does not apply")


def _plain(cell: Any) -> Any:
    """A number as JSON writes it: whole numbers without a fraction, infinities as null."""
    number = to_number(cell)
    if number is None or math.isinf(number):
        return None
    return int(number) if number.is_integer() and abs(number) < 1e15 else number

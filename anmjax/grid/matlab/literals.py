"""Tables of plain numbers, ``[1 2; 3 4]``, and columns of names, ``{'a'; 'b';}``: nearly all of a case file.

A shortcut past tokens and expressions for what has one meaning only. Whatever is not plainly such a table
(an operator, a name, a nested bracket) is left to the parser; so is a table with a fault, since the parser
knows how to name it.
"""

from __future__ import annotations

import re

import numpy as np

from anmjax.grid.matlab.limits import MAX_DIGITS, MAX_ELEMENTS

# Possessive throughout: a table is gone over once, however it ends.
_TABLE = re.compile(r"\[((?:[-+0-9.eE,; \t\n]++|[-+]?+(?:Inf|inf|NaN|nan)(?![A-Za-z0-9_.])|%[^\n]*+)*+)\]")
_NAMES = re.compile(r"\{((?:[ \t\n]*+'(?:[^'\n]++|'')*+'[ \t]*+[;\n])++[ \t\n]*+)\}")
_NAME = re.compile(r"'((?:[^'\n]++|'')*+)'")
_COMMENT = re.compile(r"%[^\n]*+")
_BLOCK = re.compile(r"%[{}][ \t]*$", re.MULTILINE)  # maybe a comment over several lines
_EMPTY_CELL = re.compile(r"(?:^|[,\n])[ \t]*,", re.MULTILINE)


def match_table(text: str, position: int) -> tuple[np.ndarray, int] | None:
    """Reads the table whose bracket opens at a position.

    Args:
      text: the program, its lines ending in line feeds.
      position: of the opening bracket.

    Returns:
      The table, float64 of two dimensions, and the position behind it; None where the parser has to look.
    """
    match = _TABLE.match(text, position)
    if match is None:
        return None
    body = match[1]
    if "%" in body:
        if _BLOCK.search(body):
            return None
        body = _COMMENT.sub("", body)
    body = body.replace(";", "\n")
    if "," in body and _EMPTY_CELL.search(body):
        return None
    cells: list[str] = []
    width = -1
    for line in body.replace(",", " ").split("\n"):
        row = line.split()
        if row:
            if width not in (-1, len(row)):
                return None
            width = len(row)
            cells += row
    if len(cells) > MAX_ELEMENTS or max(map(len, cells), default=0) > MAX_DIGITS:
        return None
    try:
        numbers = np.array(list(map(float, cells)), np.float64)
    except ValueError:
        return None  # expressions among the numbers
    return numbers.reshape((-1, width) if cells else (0, 0)), match.end()


def match_names(text: str, position: int) -> tuple[np.ndarray, int] | None:
    """Reads the cells whose brace opens at a position: a column of strings, each with a line or semicolon.

    Returns:
      The cells, (n, 1) strings, and the position behind them; None where the parser has to look.
    """
    match = _NAMES.match(text, position)
    if match is None:
        return None
    names = _NAME.findall(match[1])
    if len(names) > MAX_ELEMENTS:
        return None
    if "''" in match[1]:
        names = [name.replace("''", "'") for name in names]
    cells = np.empty((len(names), 1), object)
    cells[:, 0] = names
    return cells, match.end()

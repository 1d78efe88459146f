"""The words and signs of a MATLAB program, with their places: one pass, in time linear in its length.

The rules that depend on what stands around: a quote after an operand is a transpose, elsewhere it opens a
string; within brackets spaces part elements; ``%{`` alone on its line opens a comment over several lines;
``clear all`` is a command with words. Lines end at line feeds, carriage returns or both, and nowhere else.
Where MATLAB and GNU Octave differ on a text (``++``, ``!``, ``%{`` behind a statement), it is refused.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from anmjax.grid.matlab.limits import MAX_DEPTH, MAX_DIGITS, MAX_NAME, MAX_TOKENS, Unreadable
from anmjax.grid.matlab.literals import match_names, match_table

# Possessive repetitions (++, *+) never give back what they took, so that no text is gone over twice.
_TOKEN = re.compile(
    r"(?P<space>[ \t]++)"
    r"|(?P<newline>\n)"
    r"|(?P<comment>[%#][^\n]*+)"
    r"|(?P<dots>\.\.\.[^\n]*+\n?)"
    r"|(?P<number>(?:[0-9]++(?:\.(?![*/\\^']|\.\.)[0-9]*+)?+|\.[0-9]++)(?:[eEdD][-+]?+[0-9]++)?+)"
    r"|(?P<name>[A-Za-z][A-Za-z0-9_]*+)"
    r"|(?P<field>\.[A-Za-z][A-Za-z0-9_]*+)"
    r"|(?P<op>\.\*|\./|\.\^|\.'|==|~=|<=|>=|&&|\|\||\+\+|--|[-+*/^()\[\]{},;:=<>&|~'\"])"
)
_STRING = re.compile(r"'((?:[^'\n]++|'')*+)'")
_DOUBLE_QUOTED = re.compile(r'"((?:[^"\n]++|"")*+)"')
_WORDS = re.compile(r"[ \t]++(?=[-A-Za-z0-9'\"])((?:'[^'\n]*+'|[^;,\n%#'])*+)")
_MARKER = re.compile(r"[%#][{}]")

_KEYWORDS = (
    "break case catch classdef continue do else elseif end end_try_catch end_unwind_protect endfor "
    "endfunction endif endparfor endswitch endwhile for function global if otherwise parfor persistent "
    "return spmd switch try until unwind_protect unwind_protect_cleanup while"
)
KEYWORDS = frozenset(_KEYWORDS.split())
# Statements such as ``format long``: words without brackets, of which only ``clear`` has an effect here.
COMMANDS = frozenset(("clc", "clear", "close", "disp", "figure", "format", "more", "warning"))
_CLOSERS = {"(": ")", "[": "]", "{": "}"}
_OPERANDS = frozenset((")", "]", "}", "'", ".'"))


class Token(NamedTuple):
    """One word or sign."""

    kind: str  # number, name, field, keyword, operand_end, string, table, command, op, newline or stop
    text: str  # of a string: what is within the quotes; of a command: its words
    start: int  # position in the text
    stop: int
    spaced: bool  # whether a space, or a continued line, stands before it
    value: np.ndarray | None = None  # of a table


def normalize_lines(text: str) -> str:
    """Ends every line in a line feed, as MATLAB reads files of all systems."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def tokenize(text: str) -> list[Token]:
    """Splits a program into its tokens, the last of kind ``stop``.

    Raises:
      Unreadable: there is a sign that is not read, a string or bracket without an end, or too much.
    """
    return _Tokenizer(text).run()


class _Tokenizer:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[Token] = []
        self._brackets: list[str] = []
        self._opened: list[int] = []  # where each of them stands
        self._position = 0
        self._spaced = False
        self._line_is_blank = True  # so far

    def run(self) -> list[Token]:
        text, size = self._text, len(self._text)
        while self._position < size:
            match = _TOKEN.match(text, self._position)
            if match is None or match.lastgroup is None:
                raise Unreadable(f"{self._text[self._position]!r} is not read", self._position)
            kind = match.lastgroup
            if kind == "space":
                self._spaced, self._position = True, match.end()
            elif kind == "comment":
                self._comment(match[0])
            elif kind == "dots":
                self._spaced, self._position = True, match.end()
            else:
                self._token(kind, match[0])
                self._line_is_blank = kind == "newline"
                self._spaced = False
                if len(self._tokens) > MAX_TOKENS:
                    message = f"the file has more than {MAX_TOKENS} words outside of tables of numbers"
                    raise Unreadable(message, self._position)
        if self._brackets:
            closer = _CLOSERS[self._brackets[-1]]
            raise Unreadable(f"{self._brackets[-1]!r} has no {closer!r}", self._opened[-1])
        self._add("newline", "\n", size)
        self._add("stop", "the end", size)
        return self._tokens

    def _add(self, kind: str, text: str, stop: int, value: np.ndarray | None = None) -> None:
        self._tokens.append(Token(kind, text, self._position, stop, self._spaced, value))
        self._position = stop

    def _token(self, kind: str, text: str) -> None:
        stop = self._position + len(text)
        if kind == "newline":
            if self._brackets and self._brackets[-1] == "(":
                raise Unreadable("a line ends within parentheses without '...'", self._position)
            if self._tokens and self._tokens[-1].kind == "newline":
                self._position = stop  # an empty line says nothing
            else:
                self._add(kind, text, stop)
        elif kind == "number":
            if (
                len(text) > MAX_DIGITS
                or self._text[stop : stop + 1].isalnum()
                or self._text[stop : stop + 1] == "_"
            ):
                raise Unreadable(
                    f"{self._text[self._position : stop + 1][-40:]!r} is no number", self._position
                )
            self._add(kind, text, stop)
        elif kind == "name":
            self._name(text, stop)
        elif kind == "field":
            if self._spaced or not self._after_operand():
                raise Unreadable(f"{text!r} must follow what it is a field of", self._position)
            self._add(kind, text[1:], stop)
        elif text in ("'", '"'):
            self._quote(text)
        else:
            self._operator(text, stop)

    def _name(self, text: str, stop: int) -> None:
        if len(text) > MAX_NAME:
            raise Unreadable(f"a name has more than {MAX_NAME} characters", self._position)
        if text in KEYWORDS:
            inside = "(" in self._brackets or "{" in self._brackets
            self._add("operand_end" if inside and text == "end" else "keyword", text, stop)
            return
        words = _WORDS.match(self._text, stop) if text in COMMANDS and self._starts_statement() else None
        self._add("name", text, stop)
        if words:
            self._spaced = True
            self._add("command", words[1].strip(" \t"), words.end())

    def _operator(self, text: str, stop: int) -> None:
        if text in ("++", "--"):
            raise Unreadable(f"{text!r} is not read: part the signs by a space", self._position)
        if text in ("[", "{"):
            match = match_table if text == "[" else match_names
            table = match(self._text, self._position)
            if table is not None:
                self._add("table", text, table[1], table[0])
                return
        if text in _CLOSERS:
            self._brackets.append(text)
            self._opened.append(self._position)
            if len(self._brackets) > MAX_DEPTH:
                raise Unreadable(f"brackets are nested deeper than {MAX_DEPTH}", self._position)
        elif text in (")", "]", "}"):
            if not self._brackets or _CLOSERS[self._brackets.pop()] != text:
                raise Unreadable(f"{text!r} closes nothing", self._position)
            self._opened.pop()
        self._add("op", text, stop)

    def _quote(self, quote: str) -> None:
        in_matrix = bool(self._brackets) and self._brackets[-1] != "("
        if quote == "'" and self._after_operand() and not (in_matrix and self._spaced):
            self._add("op", "'", self._position + 1)
            return
        match = (_STRING if quote == "'" else _DOUBLE_QUOTED).match(self._text, self._position)
        if match is None:
            raise Unreadable("a string has no end on its line", self._position)
        if quote == '"' and '\\"' in match[0]:
            raise Unreadable("a string with a backslash before a double quote is not read", self._position)
        kind = "string" if quote == "'" else "double_quoted"
        self._add(kind, match[1].replace(2 * quote, quote), match.end())

    def _after_operand(self) -> bool:
        if not self._tokens:
            return False
        last = self._tokens[-1]
        return (
            last.text in _OPERANDS
            if last.kind == "op"
            else last.kind not in ("newline", "keyword", "command")
        )

    def _starts_statement(self) -> bool:
        if self._brackets:
            return False
        last = self._tokens[-1] if self._tokens else None
        return last is None or last.kind == "newline" or (last.kind == "op" and last.text in (";", ","))

    def _comment(self, text: str) -> None:
        start = self._position
        self._position += len(text)
        if text.rstrip(" \t") not in ("%{", "#{"):
            return
        if not self._line_is_blank:  # one line to MATLAB, several to Octave
            raise Unreadable(f"{text[:2]} at the end of a line is not read", start)
        depth, opener = 1, text[0]
        while depth:
            if self._position >= len(self._text):
                raise Unreadable(f"the comment of {opener}{{ has no {opener}}}", start)
            stop = self._text.find("\n", self._position + 1)
            stop = len(self._text) if stop < 0 else stop
            line = self._text[self._position + 1 : stop].strip(" \t")
            if _MARKER.fullmatch(line):
                if line[0] != opener:
                    raise Unreadable(f"{line} in the comment of {opener}{{ is not read", self._position + 1)
                depth += 1 if line[1] == "{" else -1
            self._position = stop

"""Faults to plant: small changes of arithmetic, comparisons, constants and arguments, one at a time."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from typing import NamedTuple

_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.Gt,
    ast.Gt: ast.Lt,
    ast.LtE: ast.Gt,
    ast.GtE: ast.Lt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
}
_PAIRS = (("maximum", "minimum"), ("max", "min"), ("sin", "cos"))
_FUNCTIONS = dict(_PAIRS) | {b: a for a, b in _PAIRS}
# Functions that keep the shape of their first argument, which is what is left where they are dropped.
_DROPPED = ("abs", "conj", "transpose", "flip", "stop_gradient", "clip")


class Fault(NamedTuple):
    """A change of one place of a file."""

    line: int
    what: str  # the expression as it was, and as it is
    source: str  # the file with the change


def faults(source: str) -> Iterator[Fault]:
    """All faults of a file, in the order of its lines.

    Docstrings, annotations and what is not inside a function stay as they are; so do the messages of errors.
    """
    tree = ast.parse(source)
    for path in _places(tree, ()):
        node = _at(tree, path)
        for changed in _changes(node):
            mutant = copy.deepcopy(tree)
            parent = _at(mutant, path[:-1])
            field, index = path[-1]
            if index is None:
                setattr(parent, field, changed)
            else:
                getattr(parent, field)[index] = changed
            what = f"{ast.unparse(node)} -> {ast.unparse(changed)}"
            yield Fault(node.lineno, what, ast.unparse(ast.fix_missing_locations(mutant)))  # type: ignore[attr-defined]


_Path = tuple[tuple[str, int | None], ...]


def _places(node: ast.AST, path: _Path, inside: bool = False) -> Iterator[_Path]:
    """Paths to the expressions of functions."""
    if isinstance(node, (ast.Raise, ast.Assert, ast.JoinedStr)):
        return
    inside = inside or isinstance(node, (ast.FunctionDef, ast.Lambda))
    if inside and isinstance(node, ast.expr):
        yield path
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(child, ast.AST):
                yield from _places(child, (*path, (field, index)), inside)


def _at(tree: ast.AST, path: _Path) -> ast.AST:
    node: ast.AST = tree
    for field, index in path:
        node = getattr(node, field)
        node = node if index is None else node[index]  # type: ignore[index]
    return node


def _changes(node: ast.AST) -> Iterator[ast.expr]:
    """What an expression may become."""
    match node:
        case ast.BinOp(left, op, right) if type(op) in _ARITHMETIC and not _is_text(left):
            yield ast.BinOp(left, _ARITHMETIC[type(op)](), right)
            if isinstance(op, (ast.Add, ast.Sub, ast.Mult)):
                yield left
        case ast.Compare(left, [op], [right]) if type(op) in _COMPARISONS:
            yield ast.Compare(left, [_COMPARISONS[type(op)]()], [right])
        case ast.UnaryOp(ast.USub() | ast.Invert(), operand):
            yield operand
        case ast.Constant(bool()):
            yield ast.Constant(not node.value)
        case ast.Constant(float() as value) if value not in (0.0, float("inf")):
            yield ast.Constant(100 * value)
        case ast.Call(ast.Attribute(_, "where"), [condition, first, second]):
            yield ast.Call(node.func, [condition, second, first], node.keywords)
        case ast.Call(ast.Attribute(module, name), [_, *_]) if name in _FUNCTIONS:
            yield ast.Call(ast.Attribute(module, _FUNCTIONS[name], ast.Load()), node.args, node.keywords)
        case ast.Call(ast.Attribute(_, name), [argument, *_]) if name in _DROPPED:
            yield argument


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))

"""Shows the comments on the lines of fields, their shapes and units, as a list in the reference."""

from __future__ import annotations

import io
import tokenize
from typing import Any

import griffe


class FieldComments(griffe.Extension):
    """Adds to the description of a class its fields: ``name: type  # (shape) unit, meaning``.

    Comment lines right above a field, one that is too long for its own line, count where that has none.
    """

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        """Reads the fields of a class."""
        fields = {
            name: said
            for name, member in cls.members.items()
            if isinstance(member, griffe.Attribute)
            and not name.startswith("_")
            and (said := _said_of(member))
        }
        if fields:
            own = cls.docstring.value if cls.docstring else ""
            listed = "\n".join(f"  {name}: {said}" for name, said in fields.items())
            cls.docstring = griffe.Docstring(f"{own}\n\nAttributes:\n{listed}", parent=cls)


def _said_of(field: griffe.Attribute) -> str:
    """The comment on a field; none on what a method assigns to ``self``."""
    if field.lineno is None or field.endlineno is None:
        return ""
    lines = field.lines_collection[field.filepath]
    code = "\n".join(lines[field.lineno - 1 : field.endlineno]).strip()
    if not code.startswith(f"{field.name}:"):
        return ""
    tokens = tokenize.generate_tokens(io.StringIO(code + "\n").readline)
    said = [token.string for token in tokens if token.type == tokenize.COMMENT]
    if not said:
        first = field.lineno - 1
        while lines[first - 1].lstrip().startswith("#"):
            first -= 1
        said = [line.strip() for line in lines[first : field.lineno - 1]]
    return " ".join(comment.lstrip("# ") for comment in said)

"""Shows the comment on a field's line, its shape and unit, as the field's description in the reference."""

from __future__ import annotations

import io
import tokenize
from typing import Any

import griffe


class FieldComments(griffe.Extension):
    """Reads ``name: type  # (shape) unit, meaning``, and the comment lines right above a field."""

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Gives an attribute of a class the comment that it has in the source."""
        if attr.docstring is not None or attr.lineno is None or not (attr.parent and attr.parent.is_class):
            return
        lines = attr.lines_collection[attr.filepath]
        last = attr.endlineno or attr.lineno
        said = _comment("\n".join(lines[attr.lineno - 1 : last]))
        above = attr.lineno - 2
        while not said and lines[above].lstrip().startswith("#"):
            said, above = f"{lines[above].strip()[1:].strip()} {said}".strip(), above - 1
        if said:
            attr.docstring = griffe.Docstring(said, parent=attr)


def _comment(code: str) -> str:
    """The comment at the end of an assignment."""
    tokens = tokenize.generate_tokens(io.StringIO(code.strip() + "\n").readline)
    return " ".join(t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT)

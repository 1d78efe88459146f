"""CommandError: what is wrong with a command, in one sentence."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CommandError(Exception):
    """A command that cannot be carried out; the message is the sentence that the user sees."""


def nearest(word: str, known: Iterable[str]) -> str:
    """``; did you mean X?`` for the known word that is most like ``word``, or ``.`` if none is."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    word = word.lower()
    matches = difflib.get_close_matches(word, by_lower, n=1, cutoff=0.5)
    # The beginning of a word is little like a long one by its letters, but is often all that is typed.
    begun = [candidate for candidate in by_lower if len(word) > 3 and candidate.startswith(word)]
    if found := begun[:1] or matches:
        return f"; did you mean {by_lower[found[0]]}?"
    return "."

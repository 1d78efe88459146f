"""Errors that carry the names and the meaning of gym-anm's."""

from __future__ import annotations


class EnvInitializationError(ValueError):
    """An episode cannot begin: the start has the wrong shape, or its power flow has no solution."""


class EnvNextVarsError(ValueError):
    """``next_vars`` returned the wrong number of variables."""

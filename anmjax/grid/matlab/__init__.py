"""The part of MATLAB that MATPOWER case files use, read and carried out; nothing is executed.

Tables, arithmetic, indices, conditions, loops and a few functions, each with MATLAB's meaning; whatever else
a file holds is a complaint with its line, for a statement that is skipped would change the case. Text on
which MATLAB and GNU Octave disagree is refused too. ``limits`` bounds what a file may ask for.

From text to values: ``tokens`` (with ``literals`` for tables of plain numbers), ``expressions`` and
``statements`` (into the nodes of ``tree``), ``evaluation`` and ``interpreter`` (on ``values``, ``indexing``,
``functions``, ``columns``).

Reference: MathWorks, MATLAB, "Language Fundamentals".
"""

from anmjax.grid.matlab.interpreter import Complaint, Outcome, run
from anmjax.grid.matlab.limits import MAX_BYTES
from anmjax.grid.matlab.values import Unknown, Value

__all__ = ["MAX_BYTES", "Complaint", "Outcome", "Unknown", "Value", "run"]

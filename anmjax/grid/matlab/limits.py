"""What is read at most, and the error for what is not read.

A case file is a stranger's program: each bound below turns one that would take all memory, or run for
ever, into an error. The largest case that MATPOWER ships has 23 MB, 2.2 million numbers in a table and
0.4 million words outside of tables of numbers.
"""

from __future__ import annotations

MAX_BYTES = 200_000_000  # of a file
MAX_TOKENS = 2_000_000  # words and signs of a file; a table of plain numbers counts as one
MAX_DEPTH = 25  # of brackets, signs and blocks within each other, and of indices behind one
MAX_CALLS = 100  # of the evaluation by itself: what is within and what is behind add up
MAX_DIGITS = 400  # of a number: float64 needs 17, and the smallest written out in full 350
MAX_NAME = 63  # characters of a name: MATLAB cuts longer ones
MAX_ELEMENTS = 10_000_000  # of one value: 80 MB of numbers
MAX_WORK = 1_000_000_000  # elements that a program touches, see Budget


class Unreadable(ValueError):
    """Raised for text beyond the part of MATLAB that is read; the message says what is.

    Attributes:
      position: where in the text, in characters, or None where the statement as a whole is meant.
    """

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position


class OutOfBudget(Unreadable):
    """Raised where a program asks for more than the bounds allow: no statement after it is carried out."""


class Budget:
    """Counts the work of a program: thousands of elements for a step, and one for each it touches."""

    STEP = 5000  # what Python takes for a step, in elements that NumPy copies meanwhile
    WORD = 500  # and for a number or string of the file

    def __init__(self) -> None:
        self.left = MAX_WORK

    def spend(self, elements: int, step: int = STEP) -> None:
        """Takes one step over so many elements.

        Raises:
          OutOfBudget: the value is too large, or the program has done too much.
        """
        check_size(elements)
        self.left -= step + elements
        if self.left < 0:
            raise OutOfBudget("the statements up to here take too much work, in loops or on large tables")


def check_size(elements: int) -> None:
    """Refuses a value of too many elements, before it is made."""
    if elements > MAX_ELEMENTS:
        raise OutOfBudget(f"a value of {elements} elements is too large: {MAX_ELEMENTS} at most")

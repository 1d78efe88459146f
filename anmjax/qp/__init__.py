"""Convex quadratic programs, batched and differentiable. Knows no network."""

from anmjax.qp.batch import QPSolution
from anmjax.qp.solve_qp import solve_qp

__all__ = ["QPSolution", "solve_qp"]

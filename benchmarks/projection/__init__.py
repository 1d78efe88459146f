"""Projections and quadratic programs a second beside other solvers, and the safety layer."""

"""Benchmarks: each a question with a record under ``benchmarks/results/``."""

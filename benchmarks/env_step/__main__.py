"""``python -m benchmarks.env_step`` runs ``speed``."""

from benchmarks.env_step.speed import main

main()

"""``python -m benchmarks.projection`` runs ``speed``."""

from benchmarks.projection.speed import main

main()

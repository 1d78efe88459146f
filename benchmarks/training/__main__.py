"""``python -m benchmarks.training`` runs ``learning``."""

from benchmarks.training.learning import main

main()

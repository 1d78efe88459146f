"""``python -m benchmarks.power_flow`` runs ``speed``."""

from benchmarks.power_flow.speed import main

main()

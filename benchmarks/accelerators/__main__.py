"""``python -m benchmarks.accelerators`` runs ``ahead``."""

from benchmarks.accelerators.ahead import main

main()

"""How fast and how large the circuit engine is, beside the least that the same work can cost.

``python -m tests.benchmarks``, which ``make bench`` runs, measures every section and writes
``bench.json``. Times are ratios to a floor that is measured in the same process, in turns with the
code under test, on one thread, so that they mean the same on every machine. Sizes are bytes of a
fresh process or of a file.
"""

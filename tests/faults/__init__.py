"""Fault injection: the production stack on loopback, under load, while something breaks every ten seconds.

`python -m tests.faults MINUTES SEED` (or `make faults MINUTES=5 SEED=1`) prints how late processes on targets
ended, and what was lost, duplicated, unrecorded or stuck. The exit status is 0 only if every promise was
kept.
"""

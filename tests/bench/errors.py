"""The one error of the benchmark: the measurement itself did not work. Knows nothing else."""

from __future__ import annotations


class BenchError(Exception):
    """What did not work and what to try; printed without a traceback."""

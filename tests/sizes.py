"""How much of a generated or repeated thing a test takes: every day, and in full by `make soak`.

The assertions are the same at both sizes.
"""

from __future__ import annotations

import os

FULL = os.environ.get("BROKER_TEST_SIZE") == "full"


def sized(everyday: int, full: int | None = None) -> int:
    """`full` under `make soak`, ten times the everyday number where it is not given."""
    return (10 * everyday if full is None else full) if FULL else everyday

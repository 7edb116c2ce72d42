"""What an operator sees of one process of a broker."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """`since` is when it began (unix seconds), `calls` how many it has ended, `memory_bytes` what it has in
    memory, shared pages included. Zero where it is not known.
    """

    role: str
    pid: int
    since: int
    memory_bytes: int
    calls: int = 0

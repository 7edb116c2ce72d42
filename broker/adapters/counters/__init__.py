"""Where limits and budgets are counted."""

from broker.adapters.counters.memory import MemoryCounters

__all__ = ["MemoryCounters"]

"""How many of the smaller unit make the larger one: said here, and nowhere else.

Knows: SI prefixes and the calendar's fixed spans. Must not know: what is measured.
"""

from __future__ import annotations

NS_PER_US = 1_000
NS_PER_SECOND = 1_000_000_000
NS_PER_MINUTE = 60 * NS_PER_SECOND
US_PER_SECOND = 1_000_000
MS_PER_SECOND = 1_000
SECONDS_PER_MINUTE = 60
SECONDS_PER_HOUR = 3_600
SECONDS_PER_DAY = 86_400
NS_PER_DAY = SECONDS_PER_DAY * NS_PER_SECOND
PICO_PER_MICRO = 1_000_000
MICRO_PER_USD = 1_000_000
MICRO_PER_CENT = 10_000

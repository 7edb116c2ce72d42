"""What a start would fail at, paths above all, where no closer look has told it.

Knows: which part looks closer at which section. Must not know: files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from broker.app.doctor.check import Check, Level
from broker.config import LocatedFault

_CLOSER = {
    "tls": "tls",
    "audit": "log",
    **dict.fromkeys(("policy", "shadow", "opa"), "policy"),
    **dict.fromkeys(("keys", "vault", "credentials"), "keys"),
}


def check_places(problems: Iterable[LocatedFault], found: Iterable[Check]) -> Iterator[Check]:
    """The problems, but for those of parts that were found bad: a closer look has said more."""
    bad = {check.subject for check in found if check.level is Level.BAD}
    for problem in problems:
        fault = problem.fault
        if _CLOSER.get(str(fault.at[0])) not in bad:
            yield Check("configuration", Level.BAD, f"{problem.place}: {fault.told}.", fault.remedy)

"""The lists of phrases that the prefilter looks for: whether it can.

Knows: which settings are such lists. Must not know: how phrases are looked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from broker.config.judging import rule_faults
from broker.config.problem import SettingFault
from broker.config.settings import Settings

_LISTS = ("banned_topics", "injection_phrases")


def phrase_faults(settings: Settings) -> Iterator[SettingFault]:
    """Each list that a start would fail at. Takes a moment where there is one."""
    yield from rule_faults([partial(_flaw, name) for name in _LISTS], settings)


def _flaw(name: str, settings: Settings) -> Iterator[SettingFault]:
    phrases = getattr(settings.content, name)
    if phrases:
        from broker.prefilter.listed import phrases_flaw  # noqa: PLC0415 - the matcher, where it is needed alone

        if (told := phrases_flaw(phrases)) is not None:
            yield SettingFault(("content", name), told, "Give fewer, or shorter ones.")

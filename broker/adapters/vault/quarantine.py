"""How a quarantine stands in Vault: custom metadata of the secret, which name the version that is meant.

Knows: two metadata keys. Must not know: requests. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

REASON = "quarantined"
VERSION = "quarantined_version"


def quarantine_of(metadata: Mapping[str, str] | None, version: int) -> str:
    """Why that version is quarantined, or an empty string. A reason that names no version means every one:
    somebody wrote it by hand, and wants no call to use the key.

    >>> quarantine_of({"quarantined": "leaked", "quarantined_version": "3"}, 4)
    ''
    >>> quarantine_of({"quarantined": "leaked"}, 4)
    'leaked'
    """
    if metadata is None or REASON not in metadata:
        return ""
    if metadata.get(VERSION, str(version)) != str(version):
        return ""
    return metadata[REASON] or "no reason given"


def quarantined(reason: str, version: int) -> dict[str, str | None]:
    """The custom metadata of a quarantine, as a merge patch (RFC 7396): others stay."""
    return {REASON: reason, VERSION: str(version)}


def released() -> dict[str, str | None]:
    """The custom metadata without one."""
    return {REASON: None, VERSION: None}

"""What a reply tells of the policies that decided its call.

Knows: a header's name. Must not know: engines, who writes the header.
"""

from __future__ import annotations

from functools import lru_cache

from broker.model.decision import PolicyVersion

NAME = "x-broker-policy-revision"
_SHORT = 16


@lru_cache(maxsize=64)
def policy_header(version: PolicyVersion) -> tuple[str, str]:
    """The revision as records name it; where no header can hold that, the beginning of the SHA-256.

    >>> policy_header(PolicyVersion("2026-11-30", "ab" * 32))
    ('x-broker-policy-revision', '2026-11-30')
    >>> policy_header(PolicyVersion("März", "ab" * 32))[1]
    'abababababababab'
    """
    revision = version.revision
    fits = revision.isascii() and revision.isprintable() and revision == revision.strip() != ""
    return NAME, revision if fits else version.sha256[:_SHORT]

"""The one error of the log's formats. Knows no bytes: a message never shows what was parsed."""

from __future__ import annotations


class MalformedError(ValueError):
    """These bytes, or this value, are not of the format. The message names the rule that was broken."""

"""A secret that does not print itself."""

from __future__ import annotations

from dataclasses import dataclass


class Secret:
    """Holds a credential; `reveal()` is the only way to it. `repr`, `str` and pickling show nothing."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The credential itself. Call it only where it goes on the wire."""
        return self._value

    def is_in(self, text: bytes) -> bool:
        """Whether the text holds it: what upstream says is not passed on then."""
        return self._value.encode() in text

    def __repr__(self) -> str:
        return "Secret(…)"

    def __reduce__(self) -> str:
        raise TypeError("a Secret cannot be serialised; pass its reference instead")


@dataclass(frozen=True, slots=True)
class Lease:
    """Time-boxed use of one version of one key. `key_ref` and `key_version` are what records may show.

    `organization`, `project` and `region` go with the key: whom OpenAI bills, and where it serves. `member`
    is the key's name in its pool, None outside of pools. `alone`: no other key could serve the call now.
    """

    key_ref: str
    key_version: int
    secret: Secret
    organization: str | None = None
    project: str | None = None
    region: str | None = None
    member: str | None = None
    is_only_key: bool = True

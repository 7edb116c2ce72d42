"""What the prefilter saw: where and which rule, never the matched text."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

Path = tuple[str | int, ...]


class Severity(StrEnum):
    """How bad a finding is; policy decides what follows from it."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Text:
    """One string the call carries, and where: `("messages", 0, "content")`."""

    path: Path
    value: str

    @property
    def exact(self) -> bool:
        """Whether places in it are places in the string at `path`, by way of `span`."""
        return True

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The characters of the string at `path` that `value[start:end]` stands for."""
        return start, end


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule matched the characters `start` to `end` of the string at `path`.

    `exact` is False where no string is there: then they are characters of the number as it is written, or of
    the text that the token ids stand for.
    """

    rule: str
    severity: Severity
    path: Path
    start: int
    end: int
    exact: bool = True

    @property
    def location(self) -> str:
        """The parameter in OpenAI's spelling: `messages[0].content`."""
        return location(self.path)


def location(path: Path) -> str:
    """Renders a path as OpenAI's `param`: `messages[0].content[1].text`.

    >>> location(("messages", 0, "content"))
    'messages[0].content'
    """
    out = ""
    for step in path:
        out += f"[{step}]" if isinstance(step, int) else (f".{step}" if out else step)
    return out

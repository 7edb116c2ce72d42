"""Whether digits are the fraction of a number with a decimal comma, and no cell of a list.

Knows: how numbers and lists are written. Must not know: rules. A comma stands between two numbers of a list,
too, and `3,4111111111111111` is either: what stands around it decides, and where nothing does, it is a list,
so that no card passes for a fraction. Behind a decimal point no list can be meant.
"""

from __future__ import annotations

import re

from broker.prefilter.folding import GAP, SEPARATOR

LOOKED_AT = 64
"""Characters before the digits that are looked at, at most."""
UNDECIDED = r"(?:[,;|]|\r?\n1?|\r)\Z"
"""What may stand behind digits at the end of a text that goes on: what follows it counts."""

# shorter than any card: of two numbers of cards, none is the other's fraction
_WHOLE_PART = re.compile(r"(?<![0-9])(?:[0-9]{1,3}(?:[. '][0-9]{3}){1,3}|[0-9]{1,12}),\Z")
_ENDS_A_NUMBER = re.compile(r"[ .%!?‰°$€£¥]")
_NEXT_CELL = re.compile(rf"\t|[,;|][^\s{SEPARATOR}]")
_NEXT_ROW = re.compile(r"\r?\n1,")  # as rows are numbered from 0 on
_CELL_ENDS = re.compile(r"[,;|\t]\Z")
# a comma between two numbers alone is no sign of a list: it may be a decimal one, too
_CELLS = re.compile(r"\t|[;|](?=\S)|(?<![0-9]),(?=\S)|,(?=[^\s0-9])")
# a word, a colon or an equals sign, and a space; a sign or a currency
_NUMBER_FOLLOWS = re.compile(r"(?:[^\W\d_]|[)\]:=<>~]) \Z|(?<!\w)[-+±~≈$€£¥]\Z")
_BEGINS, _ENDS = re.compile(r"(?:\A|[\r\n\"']) *\Z"), re.compile(rf"[\r\n\"'{SEPARATOR}]|\Z")


def is_fraction(text: str, start: int, end: int) -> bool:
    """Whether `text[start:end]`, which are digits, are a fraction behind a decimal comma.

    >>> texts = ("about 3,4111111111111111", "0,4111111111111111", "3,4111111111111111")
    >>> [is_fraction(text, text.index(",") + 1, len(text)) for text in texts]
    [True, True, False]
    """
    before = text[max(0, start - LOOKED_AT) : start].rpartition(SEPARATOR)[2]
    whole_part = _WHOLE_PART.search(before)
    if whole_part is None or GAP in before:  # what nobody sees may stand between two numbers
        return False
    lead = before[: whole_part.start()]
    if _CELL_ENDS.search(lead) or _NEXT_CELL.match(text, end):
        return False
    if _ENDS_A_NUMBER.match(text, end):
        return True
    is_number = _NUMBER_FOLLOWS.search(lead) is not None or (
        whole_part[0] == "0," and _is_alone(text, lead, end)
    )
    return is_number and _CELLS.search(lead) is None


def _is_alone(text: str, lead: str, end: int) -> bool:
    """Whether the number is a whole line, and no row that is numbered from 0 on."""
    return bool(_BEGINS.search(lead) and _ENDS.match(text, end)) and not _NEXT_ROW.match(text, end)

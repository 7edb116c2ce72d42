"""Whether the phrases of an operator's list can be looked for: they are compiled as one rule.

Knows: what the matcher cannot take. Must not know: who has listed them, or why.
"""

from __future__ import annotations

import hyperscan

from broker.prefilter.folding import fold
from broker.prefilter.inspector import Inspector
from broker.prefilter.rules import FIXED, rules

LONGEST_PHRASE = 400  # folded characters; an expression nests once for each


def phrases_flaw(phrases: tuple[str, ...]) -> str | None:
    """Why the list cannot be looked for; None where it can. Quotes none of it.

    >>> phrases_flaw(("project nightingale",))
    >>> phrases_flaw(("a" * 401,))
    'a phrase of 401 characters; 400 at most'
    """
    longest = max((len(fold(each).plain) for each in phrases), default=0)
    if longest > LONGEST_PHRASE:
        return f"a phrase of {longest} characters; {LONGEST_PHRASE} at most"
    try:
        Inspector(watched=rules(phrases, ())[len(FIXED) :])
    except hyperscan.error:
        return "more, or longer, phrases than can be looked for at once"
    except UnicodeEncodeError:
        return "a phrase with half of a character"
    return None

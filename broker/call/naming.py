"""How a record may repeat what a caller or upstream chose: as it stands, or as its commitment.

Knows: what could be a text in disguise. Must not know: records, how a call is sent. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from broker.model.call import Call
from broker.model.finding import Finding
from broker.model.limit import Limit
from broker.model.subject import Caller
from broker.shaping.request import PURPOSE

Commit = Callable[[str | None, str, bytes], str]
"""`commit(user, purpose, bytes)` is tlog.commitment's."""

NAME = re.compile(r"[A-Za-z0-9._:/@+-]{1,128}\Z")
_WORDS = re.compile(r"(?=.{1,128}\Z)[A-Za-z0-9._:/@+-]+(?: [A-Za-z0-9._:/@+-]+)*\Z")
_MAX_USER = 256


Names = tuple[str, str | None, str | None]
"""What a call says of itself, as records may hold it: for whom it is, which model it asks for, and why it
breaks the glass."""


def caller_name(caller: Caller, commit: Commit) -> str:
    """Of a call that is not decoded: the user that the token is bound to, or the subject itself."""
    return _user(caller.user or caller.subject.id, commit)


def call_names(caller: Caller, call: Call, findings: Sequence[Finding] | None, commit: Commit) -> Names:
    """Of a decoded call. A name in which a rule found something is given as its commitment; so is every one
    where none has looked yet: `findings` is then None.
    """
    if findings is not None and not findings:
        model = recordable(call.model, commit) if call.model else None
        return _user(call.user or caller.user or caller.subject.id, commit), model, call.purpose

    def found_in(*fields: str) -> bool:
        return findings is None or any(each.path[0] in fields for each in findings)

    user, model, purpose = call.user or caller.user or caller.subject.id, call.model, call.purpose
    if call.user and found_in("user", "safety_identifier"):
        user = commit(None, "user", call.user.encode())
    else:
        user = _user(user, commit)
    if model:
        model = commit(None, "name", model.encode()) if found_in("model") else recordable(model, commit)
    if purpose is not None and found_in(PURPOSE):
        purpose = commit(None, "purpose", purpose.encode())
    return user, model or None, purpose


def recordable(text: str, commit: Commit) -> str:
    """A name as it is, or its commitment where it could be a text in disguise."""
    return text if NAME.match(text) else commit(None, "name", text.encode())


def limit_name(limit: Limit, commit: Commit, *, found: bool) -> str:
    """The key of a limit as it is. Or its commitment, where a rule found something in it, or it could be a
    text in disguise: an account may be a caller's user. A name is policy's, and may be some words.
    """
    key, name = limit.key, limit.name
    account = key.removesuffix(f" {name}") if name else key
    plain = not found and NAME.match(account) and (not name or _WORDS.match(name))
    return key if plain else commit(None, "limit", key.encode())


def said(text: str, commit: Commit, *, blocked: bool) -> str:
    """A name as upstream says it, or its commitment where the reply is not to be repeated (`blocked`)."""
    return commit(None, "name", text.encode()) if blocked else recordable(text, commit)


def _user(user: str, commit: Commit) -> str:
    return user if len(user) <= _MAX_USER else commit(None, "user", user.encode())

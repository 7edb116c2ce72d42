"""Step 5's input document: what policy may know of a call. The prompt is not in it.

Knows: the shape that `policies/schema/` describes. Must not know: the engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from functools import lru_cache

from broker.catalog.estimate import Estimate
from broker.model.call import Call
from broker.model.finding import Finding
from broker.model.subject import Caller, Subject
from broker.model.units import NS_PER_MINUTE
from broker.shaping.mentions import NOTHING, Mentions

_MAX_INTEGER = 2**53  # beyond it engines disagree; a ceiling still catches the clamped value


def call_input(
    caller: Caller,
    call: Call,
    findings: Sequence[Finding],
    estimate: Estimate,
    transport: str,
    now_ns: int,
    zone: tzinfo = UTC,
    mentions: Mentions = NOTHING,
) -> dict[str, object]:
    """The input of `data.broker.calls.decision`. `zone` is the one that time windows are written in."""
    document = call.document or {}
    return {
        "v": 1,
        "subject": subject_input(caller.subject),
        "token": {
            "id": caller.token_id,
            "scope": list(caller.scope),
            "user": caller.user,
            "max_tokens": caller.max_tokens,
        },
        "call": {
            "operation": call.operation.value,
            "model": call.model,
            "stream": call.stream,
            "user": call.user,
            "parameters": _parameters(document),
            "fields": sorted([name for name, value in document.items() if value is not None]),
            "bytes": len(call.body),
            "store": _said(document.get("store")),
            "purpose": call.purpose,
            "reaches": list(mentions.reaches),
            "references": mentions.kinds,
        },
        "findings": [
            {"rule": f.rule, "severity": f.severity.value, "location": f.location}
            for f in _first_of_each_rule(findings)
        ],
        "estimate": {
            "tokens_in": estimate.tokens_in,
            "tokens_out_max": estimate.tokens_out_max,
            "cost_micro_usd": estimate.cost_micro_usd,
            "known_model": estimate.model is not None,
        },
        "transport": transport,
        "now_ns": now_ns,
        "time": time_input(now_ns, zone),
    }


def subject_input(subject: Subject) -> dict[str, object]:
    """The `subject` part, the same in every input."""
    return {"id": subject.id, "tenant": subject.tenant, "actor_chain": list(subject.actor_chain)}


def time_input(now_ns: int, zone: tzinfo) -> dict[str, object]:
    """The `time` part, the same in every input: `utc` to the minute, so that it compares as text, and the
    weekday (1 Monday to 7 Sunday) and the clock of `zone`. Policies have no other clock.

    >>> time_input(1795517000 * 10**9, UTC)
    {'utc': '2026-11-24T10:43Z', 'weekday': 2, 'clock': '10:43'}
    """
    return dict(_minute(now_ns // NS_PER_MINUTE, zone))


@lru_cache(maxsize=8)
def _minute(minutes: int, zone: tzinfo) -> Mapping[str, object]:
    """All calls of a minute share it."""
    moment = datetime.fromtimestamp(minutes * 60, UTC)
    local = moment.astimezone(zone)
    return {
        "utc": moment.strftime("%Y-%m-%dT%H:%MZ"),
        "weekday": local.isoweekday(),
        "clock": local.strftime("%H:%M"),
    }


def _first_of_each_rule(findings: Sequence[Finding]) -> list[Finding]:
    """Policy judges rules, so one finding of each will do; a mail with 100,000 addresses stays one."""
    return list({finding.rule: finding for finding in reversed(findings)}.values()) if findings else []


def _parameters(document: Mapping[str, object]) -> dict[str, object]:
    """Top-level numbers and booleans: all that a ceiling can be set on."""
    return {
        name: _clamped(value) if isinstance(value, int) and not isinstance(value, bool) else value
        for name, value in document.items()
        if isinstance(value, bool | int | float)
    }


def _said(value: object) -> bool | None:
    """What the body says of a switch; None where it says nothing."""
    return value if isinstance(value, bool) else None


def _clamped(value: int) -> int:
    return max(-_MAX_INTEGER, min(_MAX_INTEGER, value))

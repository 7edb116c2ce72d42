"""The question that `broker policy explain` asks: from a file, a record, a usual call; and changes of it.

Knows: how a question is put together, and what the broker derives from a call. Must not know: engines.
What is changed in a call changes its estimate as the broker would make it, unless that is set, too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from broker import strictjson
from broker.catalog.estimate import estimate, worst_cost
from broker.cli.policy.log import RecordedLog
from broker.cli.policy.period import Period
from broker.errors import bad_request
from broker.model.call import Call
from broker.model.operation import Operation
from broker.model.units import NS_PER_SECOND
from broker.ports import DecisionPoint
from broker.replay.recorded import DECIDED, LeftOut, Recorded, recorded_decision
from broker.shaping.policy_input import time_input

Question = dict[str, object]
USUAL: Question = {
    "v": 1,
    "subject": {"id": "spiffe://nobody/here", "tenant": "here", "actor_chain": []},
    "token": {"id": "tok_0", "scope": ["chat"], "user": None, "max_tokens": None},
    "call": {
        "operation": "chat",
        "model": "gpt-4o-mini",
        "stream": False,
        "user": None,
        "parameters": {},
        "fields": ["messages", "model"],
        "bytes": 100,
        "store": None,
        "purpose": None,
        "reaches": [],
        "references": [],
    },
    "findings": [],
    "estimate": {"tokens_in": 10, "tokens_out_max": 1000, "cost_micro_usd": 10, "known_model": True},
    "transport": "https",
    "now_ns": 1_795_517_000_000_000_000,
    "time": {"utc": "2026-11-24T10:43Z", "weekday": 2, "clock": "10:43"},
}
"""What a call without `INPUT` begins with: schema/calls.input.json describes each field."""
_DERIVING = ("call.", "token.max_tokens")
_KEEPING = ("store", "background")


def given(file: Path | None, point: DecisionPoint) -> Question:
    """The input in a file, on standard input (`-`), or a usual call. Raises BAD_REQUEST for what is none."""
    if file is None:
        if point is not DecisionPoint.CALLS:
            raise bad_request(
                "There is no usual input of this point.", f"Give one: see schema/{point.value}.input.json"
            )
        return json.loads(json.dumps(USUAL))  # type: ignore[no-any-return]  # a copy of the object above
    try:
        document = strictjson.parse(sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes())
    except strictjson.StrictJsonError:
        document = None
    if not isinstance(document, dict):
        raise bad_request(
            "The input is no JSON object.", f"See schema/{point.value}.input.json in the policies."
        )
    return document


def recorded(log: Path, call_id: str) -> tuple[DecisionPoint, Question]:
    """What policy was asked about a recorded call. Raises BAD_REQUEST where the log does not tell."""
    why = "The log holds no decision about this call."
    for entry in RecordedLog(log).entries(DECIDED, Period()):
        if entry.record.call_id == call_id:
            found = recorded_decision(entry.record)
            if isinstance(found, Recorded):
                return found.recorded_input.point, json.loads(found.policy_input)
            why = f"This call was {found.value}." if isinstance(found, LeftOut) else why
    raise bad_request(
        why, "Take the id from x-broker-call-id or `broker audit show`; or give the input yourself."
    )


def changed(document: Question, changes: Sequence[str]) -> None:
    """Sets fields, and then what follows from them."""
    for change in changes:
        _set(document, change)
    paths = [change.partition("=")[0] for change in changes]
    if any(path.startswith(_DERIVING) for path in paths):
        _derive(document, frozenset(paths))


def at(document: Question, text: str, zone: str) -> None:
    """Puts the moment, and the weekday and the clock of the zone. Raises BAD_REQUEST for what is no time."""
    try:
        where: tzinfo = ZoneInfo(zone) if zone != "UTC" else UTC
        moment = datetime.fromisoformat(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        what = "--at is no time, or --time-zone no zone of the IANA database."
        raise bad_request(what, "Write them like --at 2026-11-24T10:43Z --time-zone Europe/Berlin") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=where)
    now_ns = int(moment.timestamp()) * NS_PER_SECOND
    document |= {"now_ns": now_ns, "time": time_input(now_ns, where)}


def _set(document: Question, change: str) -> None:
    """Puts a value at a path whose objects exist; what is no JSON is text."""
    path, equals, text = change.partition("=")
    *parents, last = path.split(".")
    place: object = document
    for name in parents:
        place = place.get(name) if isinstance(place, dict) else None
    if not isinstance(place, dict) or not equals or not last:
        raise bad_request(f"--set {path} names no field of the input.", "Write it as call.parameters.n=2")
    try:
        place[last] = json.loads(text)
    except ValueError:
        place[last] = text


def _derive(document: Question, paths: frozenset[str]) -> None:
    """What the broker derives from the fields of a call: its names, and the estimate where nobody set it. The
    input of a call is not known here, so the tokens in it stay.
    """
    call, token, known = (_object(document.get(name)) for name in ("call", "token", "estimate"))
    parameters = _object(call.get("parameters"))
    if "call.fields" not in paths and isinstance(call.get("fields"), list):
        call["fields"] = sorted({*map(str, call["fields"]), *parameters})  # type: ignore[call-overload]
    _derive_keeping(call, parameters, paths)
    if "estimate" in paths:
        return
    derived = _estimated(call, parameters, token.get("max_tokens"), known.get("tokens_in"))
    document["estimate"] = {
        **known,
        **{name: value for name, value in derived.items() if f"estimate.{name}" not in paths},
    }


def _derive_keeping(call: Question, parameters: Question, paths: frozenset[str]) -> None:
    """What a call says of being kept, and the words of `reaches` for it, where the body was changed."""
    said = [name for name in _KEEPING if f"call.parameters.{name}" in paths]
    if "store" in said and "call.store" not in paths:
        call["store"] = parameters["store"]
    if said and "call.reaches" not in paths and isinstance(call.get("reaches"), list):
        others = {*map(str, call["reaches"])} - {*said}  # type: ignore[call-overload]
        call["reaches"] = sorted(others | {name for name in said if parameters[name] is True})


def _estimated(call: Question, parameters: Question, ceiling: object, tokens_in: object) -> Question:
    """Empty for an operation that does not exist, which is policy's to deny."""
    model = call.get("model") if isinstance(call.get("model"), str) else None
    with suppress(ValueError):
        operation = Operation(str(call.get("operation")))
        body = Call(operation, "POST", "", b"", {**parameters, "model": model}, str(model) if model else None)
        found = estimate(body, ceiling if isinstance(ceiling, int) else None)
        inside = tokens_in if isinstance(tokens_in, int) else found.tokens_in
        return {
            "tokens_out_max": found.tokens_out_max,
            "cost_micro_usd": worst_cost(found.terms, inside, found.tokens_out_max, regional=False),
            "known_model": found.model is not None,
        }
    return {}


def _object(value: object) -> Question:
    return value if isinstance(value, dict) else {}

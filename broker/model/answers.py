"""The strict reading of what a policy engine answered.

Knows: the result shapes of `policies/schema/*.result.json`. Must not know: which engine answered. No engine
is trusted to have answered well: a missing, unknown or mistyped field is an error and never a `false`, an
empty list or a default that lets something through.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from broker.model.change import Change, Must
from broker.model.charge import CHARGES_BYTES, HELD, MOST_LIMITS, UNITS, Unit, charge_bytes
from broker.model.decision import (
    Action,
    AdminDecision,
    CallDecision,
    Content,
    PolicyVersion,
    Shape,
    TokenDecision,
)
from broker.model.limit import (
    OWN_ZONE,
    PERIODS,
    WARN_PERCENT,
    CalendarWindow,
    FixedWindow,
    Limit,
    SlidingWindow,
    WindowRule,
)
from broker.model.policy_answer import PolicyAnswer
from broker.model.pool import ANYWHERE, Placement
from broker.model.subject import Grant
from broker.model.units import SECONDS_PER_DAY

_RULES = re.compile(r"(?:[A-Za-z0-9_.-]+|\*|[A-Za-z0-9_.-]+\.\*)\Z")


def parse_call_decision(result: object, policy: PolicyVersion, *, found: Iterable[str] = ()) -> CallDecision:
    """Reads the result of `data.broker.calls.decision`.

    `found` are the rules policy was told of: an allowing result must say something about each. Raises
    BrokerError POLICY_ENGINE_UNAVAILABLE, naming the field, for everything that is not exactly a decision.
    """
    answer = PolicyAnswer("broker.calls", result)
    allow, rule, reason = answer.verdict()
    content = _content(answer)
    cache_for = answer.whole("cache_for", 0) if answer.has("cache_for") else 0
    if not allow:
        changes = _changes(answer)
        answer.end()
        return CallDecision(allow, rule, reason, policy, content, changes=changes, cache_for=cache_for)
    if content.block:
        answer.refuse("allow", "is true although `content` blocks")
    for name in found:
        if content.action(name) is Action.NONE:
            answer.refuse("content", "does not judge every rule that found something")
    cut, redact = _response(answer)
    owner, lent, unseen = _objects(answer)
    decision = CallDecision(
        allow,
        rule,
        reason,
        policy,
        content,
        shape=_shape(answer),
        limits=_limits(answer, answer.text("account")),
        models=tuple(sorted(answer.strings("models"))),
        cut=cut,
        redact=redact,
        credential=answer.text("credential"),
        placement=_placement(answer) if answer.has("placement") else ANYWHERE,
        alert=answer.text("alert") if answer.has("alert") else None,
        cache_for=cache_for,
        owner=owner,
        lent=lent,
        unseen_tokens=unseen,
    )
    answer.end()
    return decision


def parse_token_decision(result: object, policy: PolicyVersion) -> TokenDecision:
    """Reads the result of `data.broker.tokens.decision`. Raises as `parse_call_decision` does."""
    answer = PolicyAnswer("broker.tokens", result)
    allow, rule, reason = answer.verdict()
    grant = _grant(answer) if allow else None
    changes = () if allow else _changes(answer)
    alert = answer.text("alert") if allow and answer.has("alert") else None
    answer.end()
    return TokenDecision(allow, rule, reason, policy, grant, changes, alert)


def parse_admin_decision(result: object, policy: PolicyVersion) -> AdminDecision:
    """Reads the result of `data.broker.admin.decision`. Raises as `parse_call_decision` does."""
    answer = PolicyAnswer("broker.admin", result)
    allow, rule, reason = answer.verdict()
    answer.end()
    return AdminDecision(allow, rule, reason, policy)


_NOTHING_FOUND = Content()
_UNSHAPED = Shape()
_MUSTS = {must.value: must for must in Must}
_LONGEST_WINDOW = 2**53 - 1  # the largest number that a record holds; like 2^53, it never ends
_LONGEST_SLIDING = 366 * SECONDS_PER_DAY
_LONGEST_KEY = 257  # an account, a space and a name, as records hold them at most


def _content(answer: PolicyAnswer) -> Content:
    actions: dict[str, object] = answer.take("content", dict)
    if not actions:
        return _NOTHING_FOUND
    if not all(
        type(rule) is str and action in ("block", "redact", "allow") for rule, action in actions.items()
    ):
        answer.refuse("content", "holds an action that is none of block, redact, allow")
    block, redact, allow = (
        frozenset(rule for rule, action in actions.items() if action == wanted)
        for wanted in ("block", "redact", "allow")
    )
    return Content(block, redact, allow)


def _shape(answer: PolicyAnswer) -> Shape:
    """The one object whose fields may be left out: an empty shape changes nothing."""
    shape = answer.inner("shape")
    changed = shape.take("set", dict) if shape.has("set") else {}
    removed = shape.strings("remove") if shape.has("remove") else ()
    model = None if shape.null("model") or not shape.has("model") else shape.text("model")
    shape.end()
    return Shape(changed, removed, model) if changed or removed or model else _UNSHAPED


def _placement(answer: PolicyAnswer) -> Placement:
    """A field that is there pins: neither null nor an empty object may stand for "anywhere"."""
    placement = answer.inner("placement")
    if not (placement.has("team") or placement.has("region")):
        placement.refuse("", "names neither team nor region")
    team, region = (placement.text(name) if placement.has(name) else None for name in ("team", "region"))
    placement.end()
    return Placement(team, region)


def _objects(answer: PolicyAnswer) -> tuple[str | None, frozenset[str], int | None]:
    """Who owns what the call makes, what it may name besides, and how much of it is reserved at most."""
    if not answer.has("objects"):
        return None, frozenset(), None
    objects = answer.inner("objects")
    owner = objects.text("owner") if objects.has("owner") else None
    lent = frozenset(objects.strings("lent")) if objects.has("lent") else frozenset()
    unseen = objects.whole("unseen_tokens", 0) if objects.has("unseen_tokens") else None
    objects.end()
    return owner, lent, unseen


def _limits(answer: PolicyAnswer, common: str) -> tuple[Limit, ...]:
    """A limit is counted in its own account, otherwise in the decision's."""
    limits = answer.each("limits", lambda name, limit: _limit(name, limit, common))
    if len(limits) > MOST_LIMITS or sum(map(_intent_bytes, limits)) > CHARGES_BYTES:
        answer.refuse("limits", "is more than an intent has room for: have fewer, or shorter names")
    return limits


def _intent_bytes(limit: Limit) -> int:
    """A longer key is recorded as its commitment."""
    return charge_bytes(limit.key[:_LONGEST_KEY])


def _limit(name: str, limit: PolicyAnswer, common: str) -> Limit:
    account = limit.text("account") if limit.has("account") else common
    unit = UNITS.get(limit.take("unit", str))
    if unit is None:
        limit.refuse("unit", f"is none of {', '.join(UNITS)}")
    cap, rule = limit.whole("cap", 0), _window_rule(limit, unit)
    observed = limit.take("observe", bool) if limit.has("observe") else False
    fit = limit.take("fit", bool) if limit.has("fit") else False
    if fit and unit not in (Unit.TOKENS, Unit.MICRO_USD):
        limit.refuse("fit", "means something for tokens and micro_usd only")
    if fit and observed:
        limit.refuse("fit", "means nothing where the limit is only observed")
    if unit in HELD and limit.has("warn_percent"):
        limit.refuse("warn_percent", f"means nothing for {unit}, of which nobody is warned")
    warn = limit.whole("warn_percent", 0, 100) if limit.has("warn_percent") else WARN_PERCENT
    limit.end()
    return Limit(f"{account} {name}", unit, cap, rule, name, observed, fit, warn)


def _window_rule(limit: PolicyAnswer, unit: Unit) -> WindowRule:
    """Exactly one, and none for what is held."""
    named = [each for each in ("window_seconds", "sliding_seconds", "calendar") if limit.has(each)]
    if unit in HELD and named:
        limit.refuse(named[0], f"means nothing for {unit}, which count while calls are under way")
    if unit in HELD:
        return None
    if len(named) != 1:
        limit.refuse("", "has not exactly one of window_seconds, sliding_seconds and calendar")
    if named == ["calendar"]:
        period = PERIODS.get(limit.take("calendar", str))
        if period is None:
            limit.refuse("calendar", f"is none of {', '.join(PERIODS)}")
        return CalendarWindow(period, _zone(limit) if limit.has("time_zone") else None)
    if named == ["sliding_seconds"]:
        return SlidingWindow(limit.whole("sliding_seconds", 1, _LONGEST_SLIDING))
    return FixedWindow(min(limit.whole("window_seconds", 1), _LONGEST_WINDOW))


def _zone(limit: PolicyAnswer) -> ZoneInfo:
    name = limit.text("time_zone")
    if name == OWN_ZONE:
        limit.refuse("time_zone", "is each machine's own: name a time zone such as Europe/Berlin")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        limit.refuse("time_zone", "is not a time zone such as Europe/Berlin")


def _response(answer: PolicyAnswer) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The rules that cut a reply, and those that redact it."""
    response = answer.inner("response")
    cut, redact = response.strings("cut"), response.strings("redact") if response.has("redact") else ()
    for name, entries in (("cut", cut), ("redact", redact)):
        if not all(_RULES.match(entry) for entry in entries):
            response.refuse(name, "holds something else than rules, `family.*` and `*`")
    response.end()
    return cut, redact


def _changes(answer: PolicyAnswer) -> tuple[Change, ...]:
    """The counterfactual, in the order of the policy's array; its values as text."""
    return tuple(_change(entry) for entry in answer.take("changes", list))


def _change(entry: object) -> Change:
    change = PolicyAnswer("broker.*.changes[…]", entry)
    name, must = change.text("field"), _MUSTS.get(change.take("must", str))
    if must is None:
        change.refuse("must", f"is none of {', '.join(_MUSTS)}")
    values = change.strings("values")
    change.end()
    return Change(name, must, values)


def _grant(answer: PolicyAnswer) -> Grant:
    grant = answer.inner("grant")
    scope = tuple(sorted(set(grant.strings("scope"))))
    if not scope or any(" " in entry for entry in scope):
        grant.refuse("scope", "is empty or holds an entry with a space")
    ttl = grant.whole("ttl_seconds", 1)
    user = None if grant.null("user") else grant.text("user")
    ceiling = None if grant.null("max_tokens") else grant.whole("max_tokens", 0)
    grant.end()
    return Grant(scope, ttl, user, ceiling)

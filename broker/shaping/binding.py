"""What a token binds every call to: its scope, its user and its ceiling of output tokens.

Knows: the claims of the caller's token. Must not know: policy. These limits hold whatever a policy says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from broker.errors import BrokerError, Kind
from broker.model.call import Call
from broker.model.change import Change, Must
from broker.model.operation import Operation, bounds_sent
from broker.model.subject import Caller
from broker.shaping.denial import policy_denied

Covers = Callable[[Sequence[str], str, str | None], bool]

_CEILINGS = {operation: bounds_sent(operation) for operation in Operation}


def bind(call: Call, caller: Caller, covers: Covers) -> dict[str, object]:
    """The body fields the token forces on this call. Raises POLICY_DENIED where the call asks for more."""
    if not covers(caller.scope, call.operation, call.model):
        raise _out_of_scope(call, caller.scope)
    return {**_user(call, caller), **_ceiling(call, caller)}


def _out_of_scope(call: Call, scope: Sequence[str]) -> BrokerError:
    """The denial, with what the token does cover: the models of this operation, or its operations."""
    held = [entry.partition(":") for entry in scope]
    models = sorted({model or "*" for name, _, model in held if name == call.operation})
    operations = sorted({name for name, _, _ in held})
    field, values = ("model", models) if models else ("operation", operations)
    said = policy_denied(
        "The token's scope does not cover this operation and model.",
        "token.scope",
        [Change(field, Must.ONE_OF, tuple(values))],
    )
    remedy = f"{said.remedy} Or ask for a token whose grant covers the call."
    return BrokerError(
        said.kind, said.message, rule=said.rule, param="model", remedy=remedy, details=said.details
    )


def _user(call: Call, caller: Caller) -> dict[str, object]:
    if caller.user is None or call.document is None:
        return {}
    if call.user is None:
        return {"user": caller.user}
    if call.user != caller.user or call.document.get("safety_identifier") not in (None, caller.user):
        raise _denied("token.user", "The token is bound to another user than this call names.", "user")
    return {}


def _ceiling(call: Call, caller: Caller) -> dict[str, object]:
    names = _CEILINGS[call.operation]
    if caller.max_tokens is None or not names or call.document is None:
        return {}
    asked = [(name, call.document[name]) for name in names if call.document.get(name) is not None]
    for name, value in asked:
        if isinstance(value, int) and value > caller.max_tokens:
            raise _denied("token.max_tokens", f"The token allows {name} ≤ {caller.max_tokens}.", name)
    return {} if asked else {names[0]: caller.max_tokens}


def _denied(rule: str, message: str, param: str) -> BrokerError:
    return BrokerError(
        Kind.POLICY_DENIED,
        message,
        rule=rule,
        param=param,
        remedy="Ask for a token whose grant covers the call.",
    )

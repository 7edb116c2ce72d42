"""The documents' tables, made from what they describe: settings, errors, routes, RPCs, log lines, decisions.

Knows: the code's own tables, and which page holds which. `python -m tests.docs` writes them
between the markers of the pages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from broker.adapters.vault.provision.grants import VaultNames, broker_policy, keys_policy
from broker.config import Settings
from broker.errors import Kind
from broker.listeners.grpc.errors import CODES
from broker.listeners.grpc.rules import RULES, CallRule, OwnRule, Public
from broker.listeners.grpc.rules import TokenRule as GrpcIssue
from broker.listeners.https.errors import ROWS
from broker.listeners.https.routes import ROUTES, Open, OwnRoute, TokenRoute
from tests.docs.adrs import decisions
from tests.docs.logged import logged
from tests.docs.pages import DECISIONS, OPERATORS, ROOT, SERVICES

VAULT_POLICIES = ROOT / "deploy/vault"

MEANING: Mapping[Kind, str] = {
    Kind.POLICY_DENIED: "Policy said no. `rule` names what failed.",
    Kind.CONTENT_BLOCKED: "A content rule blocks the call. `param` says where; the text is never shown.",
    Kind.BUDGET_EXCEEDED: "A spending limit would be passed. Nothing was spent.",
    Kind.RATE_LIMITED: "One of our rate limits would be passed. Come back after `retry-after`.",
    Kind.UPSTREAM_RATE_LIMITED: "OpenAI still answered 429 after all retries.",
    Kind.CONTEXT_LENGTH_EXCEEDED: "Input and asked output do not fit the model's window.",
    Kind.MODEL_RETIRED: "OpenAI shut the model down. The message names the successor.",
    Kind.TOKEN_MISSING: "No bearer token came.",
    Kind.TOKEN_INVALID: "The token is not one of ours, or was altered.",
    Kind.TOKEN_EXPIRED: "The token's time is over. Get a new one.",
    Kind.TOKEN_REVOKED: "The token was revoked.",
    Kind.TOKEN_NOT_YOURS: "The token belongs to another client certificate.",
    Kind.CERTIFICATE_INVALID: "No client certificate, or not an X.509-SVID of the trust domain.",
    Kind.CREDENTIAL_STORE_UNAVAILABLE: "The real key cannot be had now.",
    Kind.POLICY_ENGINE_UNAVAILABLE: "Policy gave no answer, or not a well-formed one.",
    Kind.AUDIT_UNAVAILABLE: "The record cannot be made durable, so nothing was done.",
    Kind.STATE_UNAVAILABLE: "What other brokers have taken of the limits is not known now. Nothing was done.",
    Kind.UPSTREAM_INTERRUPTED: "OpenAI broke the stream. It ends without `[DONE]`, its transfer broken.",
    Kind.UPSTREAM_UNAVAILABLE: "OpenAI gave no answer.",
    Kind.BAD_REQUEST: "The request is malformed. `param` names the parameter.",
    Kind.NOT_FOUND: "No such route, record or stored object; or an object that is not yours.",
    Kind.TOO_LARGE: "The request is over a size limit.",
    Kind.UNSUPPORTED_ENCODING: "The body's compression is not known; `accept-encoding` names what is.",
    Kind.CALLER_GONE: "The caller left before the end. Only the log sees this.",
    Kind.OVERLOADED: "The broker has too much to do. Nothing was done; come back after `retry-after`.",
    Kind.SHUTTING_DOWN: "The broker stops, and the call was not finished. Upstream may have acted on it.",
    Kind.INTERNAL: "A defect of the broker. Please report the `x-broker-call-id`.",
}


def settings_table() -> str:
    """Every setting with its type, default and meaning."""
    rows = [
        (f"`{name}`", _kind(field), _default(field), field.description or "") for name, field in settings()
    ]
    return table(("setting", "values", "default", "meaning"), rows)


def settings() -> Iterator[tuple[str, FieldInfo]]:
    """`section.key` and its field, of every setting."""
    for section, field in Settings.model_fields.items():
        yield from _named(section, field)


def _named(name: str, field: FieldInfo) -> Iterator[tuple[str, FieldInfo]]:
    """A setting, or those of its table: of a table a name, where the names are the operator's own; of each
    table of a list.
    """
    kind = field.annotation
    inner = next(
        (each for each in get_args(kind) if isinstance(each, type) and issubclass(each, BaseModel)), kind
    )
    if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
        yield name, field
        return
    place = (
        f"{name}.<name>" if get_origin(kind) is dict else f"{name}[]" if get_origin(kind) is tuple else name
    )
    for key, each in inner.model_fields.items():
        yield from _named(f"{place}.{key}", each)


def errors_table() -> str:
    """Every error with both renderings."""
    rows = [
        (f"`{kind.value}`", f"{ROWS[kind].status} `{ROWS[kind].code}`", CODES[kind].name, MEANING[kind])
        for kind in Kind
    ]
    return table(("reason", "HTTP status, `code`", "gRPC status", "meaning"), rows)


def routes_table() -> str:
    """Every route with what policy is asked."""
    rows = [
        (route.method, f"`{route.path}`", _asked(route.authorization), route.body.value) for route in ROUTES
    ]
    return table(("method", "path", "what policy decides on", "body"), rows)


def rpcs_table() -> str:
    """Every RPC with what policy is asked."""
    rows = [(f"`{name.removeprefix('/')}`", _asked(rule)) for name, rule in RULES.items()]
    return table(("RPC", "what policy decides on"), rows)


def _asked(rule: object) -> str:
    """The operation or admin action as policy sees it, or why it is not asked."""
    if isinstance(rule, CallRule):
        return f"call `{rule.operation.value}`"
    if isinstance(rule, TokenRoute | GrpcIssue):
        return "the token itself"
    if isinstance(rule, OwnRoute | OwnRule):
        return "the call that is asked about"
    if isinstance(rule, Open | Public):
        return f"nothing: {rule.value}"
    assert isinstance(rule, StrEnum)
    word = "admin" if type(rule).__name__ == "AdminAction" else "call"
    return f"{word} `{rule.value}`"


def _kind(field: FieldInfo) -> str:
    text = str(field.annotation)
    choices = re.findall(r"'([^']+)'", text) if "Literal" in text else []
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    if "tuple[str" in text:
        return "list of texts"
    if "dict[str, str]" in text:
        return "table of texts"
    names: dict[Any, str] = {str: "text", bool: "true, false", int: "integer", float: "number", Path: "path"}
    kind: Any = field.annotation
    while kind not in names:
        kind = get_args(kind)[0]
    return names[kind]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.default
    if value is None:
        return "–"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{list(value)}`" if isinstance(value, tuple) else f"`{value}`"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A GitHub table. A bar inside a cell would end it, so it is escaped."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def vault_policies() -> Mapping[Path, str]:
    """deploy/vault/*.hcl: what `broker vault init` writes with its default names."""
    policies = (broker_policy(VaultNames()), keys_policy(VaultNames()))
    return {VAULT_POLICIES / f"{policy.name}.hcl": policy.text for policy in policies}


def log_table() -> str:
    """Every line that the broker's own log may say."""
    rows = [
        (f"`{line.event}`", line.level, " ".join(f"`{each}`" for each in line.fields)) for line in logged()
    ]
    return table(("line", "level", "fields"), rows)


def decisions_table() -> str:
    """Every architecture decision record."""
    rows = [
        (str(each.number), f"[{each.title}]({each.path.name})", each.date, each.status)
        for each in decisions()
    ]
    return table(("", "decision", "date", "status"), rows)


class Table(NamedTuple):
    """A table that is made from the code: the page it stands on, and what makes it."""

    page: Path
    make: Callable[[], str]


TABLES: Mapping[str, Table] = {
    "settings": Table(OPERATORS, settings_table),
    "log": Table(OPERATORS, log_table),
    "errors": Table(SERVICES, errors_table),
    "routes": Table(SERVICES, routes_table),
    "rpcs": Table(SERVICES, rpcs_table),
    "decisions": Table(DECISIONS, decisions_table),
}


def between(text: str, name: str) -> str:
    """What stands between the markers of this table."""
    return _cut(text, name)[1]


def rewrite() -> None:
    """Every table made anew, on its page."""
    for name, (page, make) in TABLES.items():
        before, _, after = _cut(page.read_text(), name)
        page.write_text(before + make() + after)


def _cut(text: str, name: str) -> tuple[str, str, str]:
    """Before, between and after the markers, which stay outside of the middle."""
    before, marker, rest = text.partition(f"<!-- table: {name} -->\n")
    middle, end, after = rest.partition("\n<!-- end -->")
    return before + marker, middle, end + after

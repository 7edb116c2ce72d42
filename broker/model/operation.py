"""The names of what a caller can do: one word for policy, scope, record and route."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple


class Operation(StrEnum):
    """Every operation of the OpenAI API that the broker serves. Scope grammar: `<operation>[:<model>]`."""

    CHAT = "chat"
    CHAT_LIST = "chat.list"
    CHAT_GET = "chat.get"
    CHAT_UPDATE = "chat.update"
    CHAT_DELETE = "chat.delete"
    CHAT_MESSAGES = "chat.messages"
    COMPLETIONS = "completions"
    EDITS = "edits"
    EMBEDDINGS = "embeddings"
    MODERATIONS = "moderations"
    RESPONSES = "responses"
    RESPONSES_GET = "responses.get"
    RESPONSES_DELETE = "responses.delete"
    RESPONSES_CANCEL = "responses.cancel"
    RESPONSES_INPUT_ITEMS = "responses.input_items"
    RESPONSES_INPUT_TOKENS = "responses.input_tokens"
    RESPONSES_COMPACT = "responses.compact"
    MODELS = "models"
    MODELS_GET = "models.get"
    MODELS_DELETE = "models.delete"


class Traits(NamedTuple):
    """What several parts of the broker must know of an operation. `billed`: OpenAI takes money for it.
    `bounds`: the fields of its body that bound output tokens, the one to set first; a field of another
    operation bounds nothing, for OpenAI does not read it. `mentions`: its body can name stored objects, tools
    or servers. `becomes`: the operation that upstream is sent in its place.
    """

    billed: bool
    bounds: tuple[str, ...] = ()
    mentions: bool = False
    becomes: Operation | None = None


_FREE = Traits(billed=False)
TRAITS: Mapping[Operation, Traits] = {
    Operation.CHAT: Traits(billed=True, bounds=("max_completion_tokens", "max_tokens"), mentions=True),
    Operation.CHAT_LIST: _FREE,
    Operation.CHAT_GET: _FREE,
    Operation.CHAT_UPDATE: Traits(billed=False, mentions=True),
    Operation.CHAT_DELETE: _FREE,
    Operation.CHAT_MESSAGES: _FREE,
    Operation.COMPLETIONS: Traits(billed=True, bounds=("max_tokens",)),
    Operation.EDITS: Traits(billed=True, becomes=Operation.CHAT),
    Operation.EMBEDDINGS: Traits(billed=True),
    Operation.MODERATIONS: _FREE,
    Operation.RESPONSES: Traits(billed=True, bounds=("max_output_tokens",), mentions=True),
    Operation.RESPONSES_GET: _FREE,
    Operation.RESPONSES_DELETE: _FREE,
    Operation.RESPONSES_CANCEL: _FREE,
    Operation.RESPONSES_INPUT_ITEMS: _FREE,
    Operation.RESPONSES_INPUT_TOKENS: Traits(billed=False, mentions=True),
    Operation.RESPONSES_COMPACT: Traits(billed=True, mentions=True),
    Operation.MODELS: _FREE,
    Operation.MODELS_GET: _FREE,
    Operation.MODELS_DELETE: _FREE,
}
"""Every operation has a row: one that lacks it fails where the broker is imported."""


def bounds_sent(operation: Operation) -> tuple[str, ...]:
    """The fields by which upstream can be told to bound output tokens, the one to set first. What becomes
    another operation has no such field itself, and gets that one's first.

    >>> bounds_sent(Operation.CHAT), bounds_sent(Operation.EDITS), bounds_sent(Operation.MODELS)
    (('max_completion_tokens', 'max_tokens'), ('max_completion_tokens',), ())
    """
    traits = TRAITS[operation]
    return traits.bounds if traits.becomes is None else TRAITS[traits.becomes].bounds[:1]


class AdminAction(StrEnum):
    """Everything that is not a call and still needs a decision (`data.broker.admin.decision`)."""

    INTROSPECT = "token.introspect"
    REVOKE = "token.revoke"
    RECORD_READ = "audit.read"
    CHECKPOINT_READ = "audit.checkpoint"
    POLICY_EXPLAIN = "policy.explain"
    POLICY_READ = "policy.read"
    LIMITS_READ = "limits.read"
    LIMITS_RESET = "limits.reset"

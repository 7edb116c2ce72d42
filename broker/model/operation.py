"""The names of what a caller can do: one word for policy, scope, record and route."""

from __future__ import annotations

from enum import StrEnum


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


class AdminAction(StrEnum):
    """Everything that is not a call and still needs a decision (`data.broker.admin.decision`)."""

    INTROSPECT = "token.introspect"
    REVOKE = "token.revoke"
    RECORD_READ = "audit.read"
    CHECKPOINT_READ = "audit.checkpoint"
    POLICY_EXPLAIN = "policy.explain"
    POLICY_READ = "policy.read"

"""The models there are: which names exist, which name answers, and the /v1/models operations.

Knows: families and dated names. Must not know: what a model is asked.
"""

from __future__ import annotations

from collections.abc import Mapping

from broker.simulator.api_error import ApiError, no_model
from broker.simulator.overrides import split_model
from broker.simulator.reply import Reply, ok
from broker.simulator.request import Request
from broker.simulator.store import Store

_FAMILIES = (
    "gpt-",
    "o1",
    "o3",
    "o4",
    "chatgpt-",
    "codex-",
    "computer-use-",
    "davinci-",
    "babbage-",
    "text-embedding-",
    "omni-moderation-",
    "text-moderation-",
    "ft:",
)
_DATED = {
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-3.5-turbo": "gpt-3.5-turbo-0125",
    "o3-mini": "o3-mini-2025-01-31",
}
FINE_TUNED = "ft:gpt-4o-mini-2024-07-18:simulated::ab12cd34"
_LISTED = (
    *_DATED,
    *_DATED.values(),
    "gpt-3.5-turbo-instruct",
    "text-embedding-3-small",
    "text-embedding-3-large",
    "text-embedding-ada-002",
    "omni-moderation-latest",
    FINE_TUNED,
)
_EMBEDDING = "text-embedding-"


def served(model: str) -> str:
    """The name a reply carries: the dated one behind an alias, else the one asked for, overrides included.

    >>> served("gpt-4o-mini")
    'gpt-4o-mini-2024-07-18'
    """
    return _DATED.get(model, model)


def check(document: Mapping[str, object], *, embeds: bool, store: Store) -> str:
    """The request's model. Raises 400 where there is none, 404 where it does not exist, and OpenAI's
    refusal where it cannot do this. A name that is overrides alone (`sim-…`) can do everything.
    """
    model = document.get("model")
    if not isinstance(model, str) or not model:
        raise ApiError(400, "you must provide a model parameter")
    base, _ = split_model(model)
    if not base:
        return model
    if not base.startswith(_FAMILIES) or model in store.deleted_models:
        raise no_model(model)
    if embeds and not base.startswith(_EMBEDDING):
        raise ApiError(403, "You are not allowed to generate embeddings from this model")
    if not embeds and base.startswith(_EMBEDDING):
        message = "This is not a chat model and thus not supported in the v1/chat/completions endpoint."
        raise ApiError(404, message, param="model")
    return model


def list_models(_request: Request, store: Store) -> Reply:
    """GET /v1/models."""
    listed = [_describe(model) for model in _LISTED if model not in store.deleted_models]
    return ok({"object": "list", "data": listed})


def get_model(request: Request, store: Store) -> Reply:
    """GET /v1/models/{id}."""
    return ok(_describe(_existing(request.arguments[0], store)))


def delete_model(request: Request, store: Store) -> Reply:
    """DELETE /v1/models/{id}: fine-tuned models only."""
    model = _existing(request.arguments[0], store)
    if not model.startswith("ft:"):
        raise ApiError(
            403, "You have insufficient permissions for this operation. Missing scopes: api.delete."
        )
    store.deleted_models.add(model)
    return ok({"id": model, "object": "model", "deleted": True})


def _existing(model: str, store: Store) -> str:
    if not model.startswith(_FAMILIES) or model in store.deleted_models:
        raise ApiError(404, f"The model '{model}' does not exist", param="model", code="model_not_found")
    return model


def _describe(model: str) -> dict[str, object]:
    owner = "simulated" if model.startswith("ft:") else "system"
    return {"id": model, "object": "model", "created": 1_715_367_049, "owned_by": owner}

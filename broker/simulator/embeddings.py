"""POST /v1/embeddings: unit vectors that depend on the text alone.

Knows: the shapes of OpenAI's "Embeddings" reference. Must not know: delivery.
"""

from __future__ import annotations

import base64
from array import array
from functools import lru_cache
from hashlib import shake_256
from math import sqrt

import orjson

from broker.simulator import schemas
from broker.simulator.api_error import ApiError
from broker.simulator.composition import count_tokens
from broker.simulator.models import check, served
from broker.simulator.reply import Json, Reply
from broker.simulator.request import Request
from broker.simulator.store import Store

_DIMENSIONS = {"text-embedding-3-large": 3072}
_DEFAULT_DIMENSIONS = 1536


def create(request: Request, store: Store) -> Reply:
    """POST /v1/embeddings."""
    schemas.embedding(request.document, "")
    model = check(request.document, embeds=True, store=store)
    inputs = _inputs(request.document["input"])
    dimensions = _dimensions(request, model)
    vectors = [vector(_seed(item), dimensions) for item in inputs]
    encode = _base64 if request.document.get("encoding_format") == "base64" else array.tolist
    embedded = [
        {"object": "embedding", "index": index, "embedding": encode(values)}
        for index, values in enumerate(vectors)
    ]
    tokens = sum(count_tokens(item, model) if isinstance(item, str) else len(item) for item in inputs)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    # Compact: indented, each of some thousand numbers would have a line of its own.
    body = orjson.dumps({"object": "list", "data": embedded, "model": served(model), "usage": usage})
    return Json(200, body)


def _inputs(value: object) -> list[str | list[int]]:
    if not isinstance(value, list):
        return [str(value)]
    return [value] if isinstance(value[0], int) else value


def _dimensions(request: Request, model: str) -> int:
    asked = request.integer("dimensions")
    if asked is not None and model.startswith("text-embedding-ada"):
        raise ApiError(400, "This model does not support specifying dimensions.", param="dimensions")
    native = next((size for name, size in _DIMENSIONS.items() if model.startswith(name)), _DEFAULT_DIMENSIONS)
    if asked is not None and asked > native:
        message = f"Invalid value for 'dimensions' = {asked}. Must be less than or equal to {native}."
        raise ApiError(400, message, param="dimensions")
    return native if asked is None else asked


def _seed(item: str | list[int]) -> bytes:
    return item.encode("utf-8", "replace") if isinstance(item, str) else orjson.dumps(item)


@lru_cache(maxsize=256)
def vector(seed: bytes, dimensions: int) -> array[float]:
    """`dimensions` 32-bit floats of Euclidean length 1, drawn from SHAKE-256 of `seed`."""
    drawn = array("h", shake_256(seed).digest(2 * dimensions))
    length = sqrt(sum(value * value for value in drawn))
    return array("f", (value / length for value in drawn))


def _base64(values: array[float]) -> str:
    return base64.b64encode(values.tobytes()).decode()

"""OpenAI's errors, word for word where its replies are known.

Knows: status, body and headers of each. Must not know: when one is due.
"""

from __future__ import annotations

from math import ceil

from broker.model.units import MS_PER_SECOND
from broker.simulator.reply import Json, dump

INVALID = "invalid_request_error"
_KEY_HEAD, _KEY_TAIL = 5, 4


class ApiError(Exception):
    """An answer other than success; `kind` is the body's `type`."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = INVALID,
        param: str | None = None,
        code: str | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.param = param
        self.code = code
        self.headers = headers

    @property
    def body(self) -> dict[str, object]:
        """`{"error": {message, type, param, code}}`."""
        error = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return {"error": error}

    def reply(self) -> Json:
        return Json(self.status, dump(self.body), self.headers)


def no_key() -> ApiError:
    return ApiError(
        401,
        "You didn't provide an API key. You need to provide your API key in an Authorization header using "
        "Bearer auth (i.e. Authorization: Bearer YOUR_KEY), or as the password field (with blank username) "
        "if you're accessing the API from your browser and are prompted for a username and password. You "
        "can obtain an API key from https://platform.openai.com/account/api-keys.",
    )


def wrong_key(key: str) -> ApiError:
    """Echoes the key's ends, as OpenAI does: whoever stands between must not pass that on."""
    shown = key[:_KEY_HEAD] + "***" + key[-_KEY_TAIL:] if len(key) > _KEY_HEAD + _KEY_TAIL else "***"
    return ApiError(
        401,
        f"Incorrect API key provided: {shown}. "
        "You can find your API key at https://platform.openai.com/account/api-keys.",
        code="invalid_api_key",
    )


def missing_scope(scope: str) -> ApiError:
    return ApiError(
        401,
        f"You have insufficient permissions for this operation. Missing scopes: {scope}. Check that you have "
        "the correct role in your organization (Reader, Writer, Owner) and project (Member, Owner), and if "
        "you're using a restricted API key, that it has the necessary scopes.",
    )


def unknown_url(method: str, path: str) -> ApiError:
    return ApiError(404, f"Invalid URL ({method} {path})")


def wrong_method(method: str, path: str) -> ApiError:
    return ApiError(
        405,
        f"Not allowed to {method} on {path}. (HINT: Perhaps you meant to use a different HTTP method?)",
        code="method_not_supported",
    )


def wrong_content_type(sent: str) -> ApiError:
    return ApiError(
        400,
        f"Unsupported content type: '{sent}'. This API method only accepts 'application/json' requests, but "
        f"you specified the header 'Content-Type: {sent}'. Please try again with a supported content type.",
        code="unsupported_content_type",
    )


def not_json() -> ApiError:
    return ApiError(
        400,
        "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your "
        "HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid "
        "JSON. If you have trouble figuring out how to fix this, please contact us through our help center "
        "at help.openai.com.)",
    )


def no_model(model: str) -> ApiError:
    return ApiError(
        404,
        f"The model `{model}` does not exist or you do not have access to it.",
        code="model_not_found",
    )


def rate_limited(retry_after_ms: int) -> ApiError:
    seconds = ceil(retry_after_ms / MS_PER_SECOND)
    return ApiError(
        429,
        "Rate limit reached for gpt-4o-mini in organization org-simulated on requests per min (RPM): Limit "
        f"500, Used 500, Requested 1. Please try again in {retry_after_ms}ms. Visit "
        "https://platform.openai.com/account/rate-limits to learn more.",
        kind="requests",
        code="rate_limit_exceeded",
        headers=(
            (b"retry-after", b"%d" % seconds),
            (b"retry-after-ms", b"%d" % retry_after_ms),
            (b"x-ratelimit-remaining-requests", b"0"),
            (b"x-ratelimit-reset-requests", b"%dms" % retry_after_ms),
        ),
    )


def spend_limit_reached(of: str) -> ApiError:
    """`of`: project or organization. Its `type` is that of all errors of billing."""
    return ApiError(
        429,
        f"You've reached the hard spend limit of your {of}. Increase or remove it, or wait for the monthly "
        "reset.",
        kind="insufficient_quota",
        code=f"{of}_spend_limit_exceeded",
    )


def server_error() -> ApiError:
    return ApiError(
        500, "The server had an error while processing your request. Sorry about that!", kind="server_error"
    )


def overloaded() -> ApiError:
    return ApiError(
        503,
        "The engine is currently overloaded, please try again later",
        kind="server_error",
        code="service_unavailable",
    )


def flagged_prompt() -> ApiError:
    return ApiError(
        400,
        "Invalid prompt: your prompt was flagged as potentially violating our usage policy. Please try "
        "again with a different prompt: https://platform.openai.com/docs/guides/reasoning#advice-on-prompting",
        code="invalid_prompt",
    )


def context_overflow() -> ApiError:
    return ApiError(
        400,
        "This model's maximum context length is 128000 tokens. However, your messages resulted in 130000 "
        "tokens. Please reduce the length of the messages.",
        param="messages",
        code="context_length_exceeded",
    )

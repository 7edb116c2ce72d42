"""The OAuth endpoints: token (RFC 6749, 8705), introspection (7662), revocation (7009), metadata (8414).

Knows: forms and JSON. Must not know: how a token is decided, minted or recorded.
"""

from __future__ import annotations

import orjson

from broker.errors import BrokerError, Kind
from broker.identity.scope import parse_scope
from broker.listeners.decode import checked_purpose
from broker.listeners.https.forms import form_of
from broker.listeners.https.request import MAX_FORM_BYTES, Receive, read_body
from broker.listeners.interfaces import AdminInterface, TokenInterface
from broker.model.call import Reply
from broker.model.request_context import RequestContext
from broker.model.token import AccessTokenRequest, TokenState

_JSON = (("content-type", "application/json"), ("cache-control", "no-store"), ("pragma", "no-cache"))


class OAuth:
    """Serves the routes under `/oauth` and `/.well-known`. `base_url` is the issuer (RFC 8414, 2)."""

    def __init__(
        self,
        token_issuer: TokenInterface,
        administrator: AdminInterface,
        jwks: dict[str, object],
        issuer: str,
        base_url: str,
    ) -> None:
        self._token_issuer = token_issuer
        self._administrator = administrator
        self._documents = {
            "/.well-known/jwks.json": orjson.dumps(jwks),
            "/.well-known/oauth-authorization-server": orjson.dumps(_metadata(issuer, base_url)),
        }

    async def serve(
        self, path: str, context: RequestContext, headers: dict[str, str], receive: Receive
    ) -> Reply:
        """Answers one form post. Raises BrokerError."""
        form = form_of(headers, await read_body(headers, receive, most=MAX_FORM_BYTES))
        if path == "/oauth/token":
            return await self._token(context, form)
        token = form.get("token")
        if not token:
            raise _invalid("token", "it is missing")
        if path == "/oauth/introspect":
            state = await self._administrator.introspect(context, token)
            return _json(_state(state))
        await self._administrator.revoke(context, token)
        return Reply(200, _JSON, b"{}")

    def metadata(self, path: str) -> Reply:
        """The public documents."""
        return Reply(200, (("content-type", "application/json"),), self._documents[path])

    async def _token(self, context: RequestContext, form: dict[str, str]) -> Reply:
        if form.get("grant_type") != "client_credentials":
            raise _invalid("grant_type", "expected client_credentials")
        wish = AccessTokenRequest(
            scope=parse_scope(form.get("scope", "")),
            ttl_seconds=_integer(form, "ttl"),
            user=form.get("user") or None,
            max_tokens=_integer(form, "max_tokens"),
            audience=form.get("audience") or form.get("resource") or None,
            purpose=checked_purpose(form["purpose"], "purpose") if form.get("purpose") else None,
        )
        issued = await self._token_issuer.issue(context, wish)
        return _json(
            {
                "access_token": issued.token,
                "token_type": "Bearer",
                "expires_in": issued.expires_in,
                "scope": " ".join(issued.scope),
            }
        )


def _integer(form: dict[str, str], name: str) -> int | None:
    value = form.get(name)
    if value is None or value == "":
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 10 and int(value) > 0):  # noqa: PLR2004
        raise _invalid(name, "expected a positive integer")
    return int(value)


def _state(state: TokenState) -> dict[str, object]:
    if not state.active:
        return {"active": False}
    return {
        "active": True,
        "jti": state.token_id,
        "sub": state.subject,
        "client_id": state.subject,
        "scope": " ".join(state.scope),
        "iat": state.issued_at,
        "exp": state.expires_at,
        "token_type": "Bearer",
        "cnf": {"x5t#S256": state.thumbprint},
        **({"username": state.user} if state.user else {}),
    }


def _metadata(issuer: str, base_url: str) -> dict[str, object]:
    return {
        "issuer": issuer,
        "token_endpoint": f"{base_url}/oauth/token",
        "introspection_endpoint": f"{base_url}/oauth/introspect",
        "revocation_endpoint": f"{base_url}/oauth/revoke",
        "jwks_uri": f"{base_url}/.well-known/jwks.json",
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["tls_client_auth"],
        "tls_client_certificate_bound_access_tokens": True,
    }


def _json(value: dict[str, object]) -> Reply:
    return Reply(200, _JSON, orjson.dumps(value))


def _invalid(param: str, why: str) -> BrokerError:
    return BrokerError(
        Kind.BAD_REQUEST, f"Invalid '{param}': {why}.", param=param, remedy="See RFC 6749, section 4.4."
    )

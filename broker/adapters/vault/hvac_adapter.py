"""One piece of work at Vault: hvac's adapter seam over the transport, statuses turned into causes.

Knows: hvac's Adapter, Vault's status codes. Must not know: connections, what is asked for. Blocking.
hvac.Client is not used: it reads VAULT_* and ~/.vault-token. Its adapter and API classes do not.
"""

from __future__ import annotations

from typing import Any

import msgspec
from hvac.adapters import Adapter  # type: ignore[import-untyped]

from broker.adapters.vault.errors import VaultErrorCode, refused
from broker.adapters.vault.transport import VaultRequest, VaultResponse, VaultTransport
from broker.model.secret import Secret

_OK, _NO_CONTENT = 200, 204
_CAUSES = {
    400: VaultErrorCode.REJECTED,
    403: VaultErrorCode.FORBIDDEN,
    404: VaultErrorCode.ABSENT,
    429: VaultErrorCode.BUSY,
    503: VaultErrorCode.SEALED,
}


class HvacAdapter(Adapter):  # type: ignore[misc]
    """hvac's Adapter for one piece of work, done by `deadline` (time.monotonic). Its token is shared with no
    other; its answers are decoded JSON objects.
    """

    def __init__(self, transport: VaultTransport, token: Secret | None, deadline: float) -> None:
        super().__init__(session=transport.session, namespace=transport.namespace)
        self._transport = transport
        self._token = token
        self._deadline = deadline

    def get_login_token(self, response: dict[str, Any]) -> str:
        raise NotImplementedError  # every login is asked not to keep its token here

    def request(
        self,
        method: str,
        url: str,
        headers: dict[str, str] | None = None,
        raise_exception: bool = True,  # noqa: ARG002 - the signature is hvac's
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Raises RefusedError for all but 200 and 204."""
        sent = {"X-Vault-Request": "true", **(headers or {})}
        if self._token is not None:
            sent["X-Vault-Token"] = self._token.reveal()
        if self.namespace:
            sent["X-Vault-Namespace"] = self.namespace
        answer = self._transport.send(VaultRequest(method, url, sent, kwargs.get("json"), self._deadline))
        return _decoded(answer, url.removeprefix("/v1/"))


def _decoded(answer: VaultResponse, path: str) -> dict[str, Any]:
    """The answer's JSON object, or the RefusedError that its status means."""
    if answer.status == _NO_CONTENT:
        return {}
    if answer.status == _OK:
        try:
            return msgspec.json.decode(answer.body, type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            pass
        raise refused(VaultErrorCode.GARBLED)
    cause = _CAUSES.get(answer.status, VaultErrorCode.BROKEN)
    about = f" ({answer.status})" if cause is VaultErrorCode.BROKEN else path
    raise refused(cause, about, retry_after=answer.retry_after)

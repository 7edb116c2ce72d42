"""What an organization's owner and its workloads ask for: the admin API, and tokens.

Knows: the order of the steps, and the organization's trouble. Must not know: what any operation does.
"""

from __future__ import annotations

from dataclasses import asdict

from broker.simulator import federation, overrides, service_accounts, spend_limits
from broker.simulator.api_error import ApiError, wrong_method
from broker.simulator.authentication import KeyAuthentication
from broker.simulator.faults import damaged, refuse_if_asked
from broker.simulator.federation import TokenEndpoint
from broker.simulator.organization import Organization
from broker.simulator.overrides import Overrides
from broker.simulator.reply import Reply
from broker.simulator.request import ReceivedRequest, Request, document_of
from broker.simulator.request_log import entry_of
from broker.simulator.routes import Routes
from broker.simulator.scopes import ADMINISTRATION, needed
from broker.simulator.store import Store

_ROUTES = Routes({**service_accounts.TABLE, **spend_limits.TABLE})
_ADMIN_KEY = "sk-admin-…"
"""What the error of a key that is said to be wrong shows."""


class OrganizationApi:
    """Answers `/v1/organization/…` and `/oauth/token`."""

    def __init__(
        self,
        organization: Organization,
        tokens: TokenEndpoint,
        authentication: KeyAuthentication,
        store: Store,
    ) -> None:
        self._organization = organization
        self._tokens = tokens
        self._authentication = authentication
        self._store = store

    def answers(self, path: str) -> bool:
        """Whether a path is its business."""
        return path == federation.PATH or path.startswith(ADMINISTRATION)

    def answer(self, received: ReceivedRequest) -> tuple[Reply, Overrides]:
        """What is done has been done, also where the trouble then spoils or delays the reply."""
        self._organization.request_log.add(entry_of(received))
        trouble = overrides.parse(self._organization.trouble)
        try:
            refuse_if_asked(trouble, self._store, f"{received.method} {received.path}", _ADMIN_KEY)
            return damaged(self._answer(received), trouble), trouble
        except ApiError as error:
            return error.reply(), trouble

    def _answer(self, received: ReceivedRequest) -> Reply:
        if received.path == federation.PATH:
            if received.method != "POST":
                raise wrong_method(received.method, received.path)
            return self._tokens.exchange(document_of(received))
        rights = self._authentication.rights(received.headers)
        match = _ROUTES.match(received.method, received.path)
        rights.require(needed(received.method, received.path))
        request = Request(
            document=document_of(received),
            body=received.body,
            digest=received.digest,
            query=received.query,
            overrides=overrides.NO_OVERRIDES,
            request_id=received.request_id,
            arguments=match.arguments,
        )
        return match.run(request, self._organization)

    def shown(self) -> dict[str, object]:
        """What `GET /sim/organization` tells: never a key."""
        organization = self._organization
        return {
            "accounts": [
                {**asdict(account), "live": len(organization.live(account))}
                for account in organization.accounts.values()
            ],
            "events": [asdict(event) for event in organization.events],
            "requests": [f"{entry.method} {entry.path}" for entry in organization.request_log.entries],
        }

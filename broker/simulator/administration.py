"""What an organization's owner and its workloads ask for: the admin API, and tokens.

Knows: the order of the steps, and the organization's trouble. Must not know: what any operation does.
"""

from __future__ import annotations

from dataclasses import asdict

from broker.simulator import federation, knobs
from broker.simulator.admittance import Admittance
from broker.simulator.api_error import ApiError, wrong_method
from broker.simulator.faults import damaged, refuse_if_asked
from broker.simulator.federation import TokenEndpoint
from broker.simulator.journal import entry_of
from broker.simulator.knobs import Knobs
from broker.simulator.organization import Organization
from broker.simulator.reply import Reply
from broker.simulator.request import Arrival, Request, document_of
from broker.simulator.scopes import ADMINISTRATION, needed
from broker.simulator.service_accounts import ROUTES
from broker.simulator.shelf import Shelf

_ADMIN_KEY = "sk-admin-…"
"""What the error of a key that is said to be wrong shows."""


class Administration:
    """Answers `/v1/organization/…` and `/oauth/token`."""

    def __init__(
        self, organization: Organization, tokens: TokenEndpoint, admittance: Admittance, shelf: Shelf
    ) -> None:
        self._organization = organization
        self._tokens = tokens
        self._admittance = admittance
        self._shelf = shelf

    def answers(self, path: str) -> bool:
        """Whether a path is its business."""
        return path == federation.PATH or path.startswith(ADMINISTRATION)

    def answer(self, arrival: Arrival) -> tuple[Reply, Knobs]:
        """What is done has been done, also where the trouble then spoils or delays the reply."""
        self._organization.journal.add(entry_of(arrival))
        trouble = knobs.parse(self._organization.trouble)
        try:
            refuse_if_asked(trouble, self._shelf, f"{arrival.method} {arrival.path}", _ADMIN_KEY)
            return damaged(self._answer(arrival), trouble), trouble
        except ApiError as error:
            return error.reply(), trouble

    def _answer(self, arrival: Arrival) -> Reply:
        if arrival.path == federation.PATH:
            if arrival.method != "POST":
                raise wrong_method(arrival.method, arrival.path)
            return self._tokens.exchange(document_of(arrival))
        rights = self._admittance.rights(arrival.headers)
        match = ROUTES.match(arrival.method, arrival.path)
        rights.require(needed(arrival.method, arrival.path))
        request = Request(
            document=document_of(arrival),
            body=arrival.body,
            digest=arrival.digest,
            query=arrival.query,
            knobs=knobs.NO_KNOBS,
            request_id=arrival.request_id,
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
            "requests": [f"{entry.method} {entry.path}" for entry in organization.journal.entries],
        }

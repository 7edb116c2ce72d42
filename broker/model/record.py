"""One audit record, before it is sequenced and signed, and the receipt that comes back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from broker.model.charge import Taken


class RecordType(StrEnum):
    """What happened. An `intent` is closed by exactly one `outcome` or `recovered` of the same call_id."""

    START = "start"
    KEY = "key"
    TOKEN = "token"  # noqa: S105 - the name of a record type, not a password
    DENIED = "denied"
    INTENT = "intent"
    OUTCOME = "outcome"
    RECOVERED = "recovered"
    LIMIT = "limit"
    SHADOW = "shadow"
    REVOKED = "revoked"
    CONFIG = "config"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class RecordedFinding:
    """A finding as the log keeps it: rule, place and what was done; never the text."""

    rule: str
    location: str
    action: str


class Record(NamedTuple):
    """The facts of one step of one call; None means not known at this step and is left out of the entry.

    Never holds a key, a token, a prompt or a reply. Times `t_*_us` are microseconds. `policy_input` is the
    JSON that policy judged, `alert` what it wants people told, `purpose` why the caller broke the glass;
    a `denied` record with a `count` stands for so many refusals between `first_us` and `last_us` (unix
    microseconds), and says what they had in common;
    in a `shadow` record `decision` and `rule` are the candidate's and `enforced` is what really happened.
    `attempts` of an `outcome` is how often the request was sent upstream, with all keys together.
    `cost_micro_usd` of an `outcome` is what the call was charged, in millionths of a US dollar at the prices
    of `price_version`; where `cost_exact` is false, upstream bills that at most. Tokens are upstream's count.
    `object_id` is the stored object that the call is about: the one its path names, or the one it made, which
    then belongs to `object_owner`, with the `objects` that were made along with it; `object_until` is the
    unix second until which OpenAI keeps them, 0: until they are deleted, absent: as long as a response. A
    `config` record with an `object_id` tells that an operator adopted it for its owner, or had it forgotten.
    `reserved` of an `intent` is its worst case, as it was taken of each limit; `fitted` to how many tokens
    its answers were bounded because a limit had no more left. An `outcome` of such a call tells what stayed:
    `requests_charged`, `tokens_charged`, `cost_micro_usd`; where there is none, all did.
    `adjusted` is by how much it changed what an earlier call, a response that was not done yet, had taken;
    `limits_passed` are the limits that it passed because they are only observed. `allowance` of an intent:
    its process alone let it take what it reserved, while the shared state was away. A `limit` record tells
    that a call brought what is `taken` of a limit near to its `cap`, or that an operator had it begin anew:
    then `adjusted` is by how much that changed it.
    `certifications` of a `key` record are the texts of `tlog.certification`,
    of keys used from here on. The ledger adds `v`, `instance`, `seq`, `time`, `kid` and `sig` when it
    sequences the record. A tuple, because two are made for each call and a frozen dataclass of so many fields
    takes ten times as long.
    """

    type: RecordType
    call_id: str
    user: str | None = None
    subject: str | None = None
    actor_chain: tuple[str, ...] | None = None
    tenant: str | None = None
    cert_sha256: str | None = None
    token_id: str | None = None
    transport: str | None = None
    operation: str | None = None
    model_requested: str | None = None
    model_served: str | None = None
    stream: bool | None = None
    decision: str | None = None
    reason: str | None = None
    rule: str | None = None
    policy_revision: str | None = None
    policy_sha256: str | None = None
    input_commitment: str | None = None
    policy_input: str | None = None
    findings: tuple[RecordedFinding, ...] | None = None
    key_ref: str | None = None
    key_version: int | None = None
    status: int | None = None
    finish_reason: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    tokens_cached: int | None = None
    bytes: int | None = None
    t_policy_us: int | None = None
    t_upstream_us: int | None = None
    t_total_us: int | None = None
    upstream_request_id: str | None = None
    error: str | None = None
    request_commitment: str | None = None
    response_commitment: str | None = None
    scope: str | None = None
    public_key: str | None = None
    alert: str | None = None
    purpose: str | None = None
    enforced: str | None = None
    certifications: tuple[str, ...] | None = None
    attempts: int | None = None
    cost_micro_usd: int | None = None
    cost_exact: bool | None = None
    price_version: str | None = None
    object_id: str | None = None
    object_owner: str | None = None
    count: int | None = None  # type: ignore[assignment]  # hides tuple.count, which nobody asks a record
    first_us: int | None = None
    last_us: int | None = None
    objects: tuple[str, ...] | None = None
    object_until: int | None = None
    reserved: tuple[Taken, ...] | None = None
    requests_charged: int | None = None
    tokens_charged: int | None = None
    adjusted: tuple[Taken, ...] | None = None
    taken: tuple[Taken, ...] | None = None
    cap: int | None = None
    limits_passed: tuple[str, ...] | None = None
    allowance: bool | None = None
    fitted: int | None = None


class Receipt(NamedTuple):
    """Proof of place: the record is durable as entry `seq` of the log `origin`."""

    origin: str
    seq: int
    leaf_hash: bytes

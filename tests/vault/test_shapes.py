"""Whatever JSON object Vault answers, it is a key, a token, or refused: no other exception."""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from broker.adapters.vault import keys, token
from broker.adapters.vault.errors import VaultRefusedError

_KEYS = st.just("sk-12345678")
_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | _KEYS
_ANY = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


def _shaped(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Nearly right: each field right, of any kind, or missing; or all of it something else."""
    right = st.fixed_dictionaries({}, optional={name: field | _ANY for name, field in fields.items()})
    return right | st.fixed_dictionaries(fields) | _ANY


_VERSIONS = st.dictionaries(
    st.sampled_from(["1", "2", "x"]), _shaped(deletion_time=st.just(""), destroyed=st.booleans())
)
_READ = _shaped(data=_shaped(data=_shaped(key=_KEYS), metadata=_shaped(version=st.integers(1))))
_METADATA = _shaped(data=_shaped(current_version=st.integers(1, 2), versions=_VERSIONS))
_LOGIN = _shaped(
    auth=_shaped(client_token=st.just("hvs.x"), lease_duration=st.integers(), renewable=st.booleans())
)


def _object(answers: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """The adapter lets nothing but objects through."""
    return answers.filter(lambda answer: isinstance(answer, dict))


@given(_object(_READ))
def test_any_answer_to_a_read_is_a_key_or_refused(answer: dict[str, Any]) -> None:
    with contextlib.suppress(VaultRefusedError):
        lease = keys._lease(answer, "secret/openai/openai")
        assert answer["data"]["data"]["key"] == lease.secret.reveal()
        assert answer["data"]["metadata"]["version"] == lease.key_version


@given(_object(_LOGIN))
def test_any_answer_to_a_login_is_a_token_or_refused(answer: dict[str, Any]) -> None:
    with contextlib.suppress(VaultRefusedError):
        assert token._parsed(answer).client_token == answer["auth"]["client_token"]


@given(_object(_METADATA))
def test_any_metadata_are_metadata_or_refused(answer: dict[str, Any]) -> None:
    with contextlib.suppress(VaultRefusedError):
        assert keys._convert(answer, keys._KvMetadata).current_version == answer["data"]["current_version"]

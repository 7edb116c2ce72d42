"""Settings: read once, refused where a key is unknown, missing or wrong, overridden by the environment."""

from __future__ import annotations

import ast
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from broker.config import Settings, load
from broker.errors import ConfigError
from tests.docs.pages import ROOT
from tests.docs.tables import settings

MINIMAL = """
[tls]
certificate = "server.pem"
key = "server.key"
client_ca = "ca.pem"
[identity]
trust_domain = "example.org"
issuer = "https://broker.example.org"
token_key = "token.pem"
[policy]
directory = "policies"
[keys]
directory = "keys"
[audit]
directory = "log"
origin = "broker.example.org/log"
keys = "log-keys"
"""
Load = Callable[[str], Settings]


@pytest.fixture
def loaded(tmp_path: Path) -> Load:
    """Loads the settings of a text."""

    def of(text: str) -> Settings:
        path = tmp_path / "broker.toml"
        path.write_text(text)
        return load(path)

    return of


def refusal(loaded: Load, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(text)
    return str(caught.value)


def test_the_least_configuration_has_safe_defaults(loaded: Load) -> None:
    given = loaded(MINIMAL)
    assert given.server.https == "127.0.0.1:8443"
    assert given.server.reflection is False
    assert given.server.forward_headers == ()
    assert given.upstream.base_url == "https://api.openai.com/v1"
    assert given.keys.directory == Path("keys")


def test_every_setting_is_read_somewhere() -> None:
    """What nobody reads would be accepted and do nothing."""
    read = {
        node.attr
        for path in (ROOT / "broker").rglob("*.py")
        if path.parent.name != "config" and "gen" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
    }
    assert {name for name, _ in settings() if name.rpartition(".")[2] not in read} == set()


def test_settings_cannot_be_changed(loaded: Load) -> None:
    given = loaded(MINIMAL)
    with pytest.raises(ValidationError, match="frozen"):
        given.server.https = "0.0.0.0:1"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        given.server = given.server  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (MINIMAL + "[servre]\nhttps = '127.0.0.1:1'", "servre"),
        (MINIMAL + "[server]\nhttsp = '127.0.0.1:1'", "server.httsp"),
        (MINIMAL.replace('client_ca = "ca.pem"', ""), "tls.client_ca"),
        (MINIMAL.replace('[policy]\ndirectory = "policies"', ""), "policy"),
        (MINIMAL + "[upstream]\nattempts = 0", "upstream.attempts"),
        (MINIMAL + "[upstream]\nattempts = 'many'", "upstream.attempts"),
        (MINIMAL + "[log]\nlevel = 'chatty'", "log.level"),
        (MINIMAL.replace("[keys]", "[keys]\nhold_seconds = 3600"), "keys.hold_seconds"),
    ],
)
def test_a_wrong_key_is_refused_by_its_name(loaded: Load, text: str, named: str) -> None:
    said = refusal(loaded, text)
    assert f": {named}: " in said
    assert "README" in said


@pytest.mark.parametrize("use", ["certify = true", 'pki_role = "broker"'])
def test_whatever_uses_vault_needs_to_know_where_it_is(loaded: Load, use: str) -> None:
    said = refusal(loaded, MINIMAL + f"[vault]\n{use}")
    assert ": vault.addresses: needed where Vault is used" in said
    assert ": vault.role_id: needed where vault.auth is approle" in said
    assert (": vault.server_names: needed with vault.pki_role" in said) is use.startswith("pki_role")


IN_VAULT = (
    MINIMAL.replace('directory = "keys"', 'adapter = "vault"')
    + """
[vault]
addresses = ["https://vault.example.org:8200"]
"""
)


def test_the_sealed_store_needs_its_folder(loaded: Load) -> None:
    said = refusal(loaded, MINIMAL.replace('directory = "keys"', ""))
    assert ": keys: " in said
    assert "`directory`" in said


@pytest.mark.parametrize(
    ("further", "missing"),
    [
        ("", ["vault.role_id", "vault.wrapped_secret_id"]),
        ('role_id = "r"', ["vault.wrapped_secret_id"]),
        ('auth = "approle"\nwrapped_secret_id = "f"', ["vault.role_id"]),
        ('auth = "cert"', ["vault.certificate", "vault.key"]),
        ('auth = "cert"\ncertificate = "c.pem"', ["vault.key"]),
        ('auth = "jwt"', ["vault.jwt"]),
        ('auth = "kubernetes"', []),
        ('auth = "kubernetes"\nkey = "c.key"', ["vault.certificate"]),
        ('auth = "jwt"\njwt = "f"', []),
    ],
)
def test_what_a_way_to_log_in_to_vault_needs_is_named(loaded: Load, further: str, missing: list[str]) -> None:
    if not missing:
        assert loaded(IN_VAULT + further).keys.directory is None
        return
    said = refusal(loaded, IN_VAULT + further)
    assert all(f": {name}: " in said for name in missing), said
    assert "Value error" not in said


@pytest.mark.parametrize("address", ["http://vault:8200", "vault:8200", "https://", "https://vault/ui"])
def test_vault_is_spoken_to_over_https_only(loaded: Load, address: str) -> None:
    text = IN_VAULT.replace("https://vault.example.org:8200", address) + 'auth = "kubernetes"'
    assert "vault.addresses: " in refusal(loaded, text)


def test_a_vault_without_address_is_named(loaded: Load) -> None:
    text = IN_VAULT.replace('"https://vault.example.org:8200"', "")
    assert ": vault.addresses: needed where Vault is used" in refusal(loaded, text)


def test_a_vault_section_beside_the_sealed_store_needs_nothing(loaded: Load) -> None:
    assert loaded(MINIMAL + '[vault]\nauth = "jwt"').keys.adapter == "sealed"


def test_the_error_does_not_repeat_the_value(loaded: Load) -> None:
    assert "sk-oops" not in refusal(loaded, MINIMAL + "[keys2]\nopenai = 'sk-oops'")
    assert "sk-oops" not in refusal(loaded, MINIMAL + "[upstream]\nattempts = 'sk-oops'")


@pytest.mark.parametrize("text", ["", "[server", "https = "])
def test_a_file_that_is_not_a_configuration_is_refused(loaded: Load, text: str) -> None:
    assert "broker.toml" in refusal(loaded, text)


def test_every_mistake_is_told_at_once_with_its_line(
    loaded: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whatever is wrong elsewhere: what does not go together is told beside values that are wrong."""
    monkeypatch.setenv("BROKER__UPSTREAM__ATTEMPTS", "99")
    monkeypatch.setenv("BROKER__CONTENT__BANNED_TOPICS", "one, two")
    monkeypatch.setenv("BROKER__SERVRE__HTTPS", "127.0.0.1:1")
    text = MINIMAL.replace('client_ca = "ca.pem"\n', "").replace("[policy]", "[policy]\nbundle = 'b'")
    text += """[server]
https = "0.0.0.0:9000"
grpc = "127.0.0.1:9000"
console = "nowhere"
[upstream]
base_url = "api.openai.com"
[[pools.openai.members]]
key = "a"
[[pools.openai.members]]
kee = "b"
[credentials.chat]
upstream_auth = "dynamic_key"
[vault]
certify_seconds = 'x'
pki_role = 'r'
"""
    said = refusal(loaded, text)
    for written, told in (
        ("[tls]", "tls.client_ca: missing"),
        ("bundle = 'b'", "policy.bundle: the embedded engine needs either `directory` or `bundle`, not both"),
        ('grpc = "127.0.0.1:9000"', "server.grpc: the address is that of server.https, too"),
        ('console = "nowhere"', "server.console: not an address host:port"),
        ('base_url = "api.openai.com"', "upstream.base_url: not a URL"),
        ('kee = "b"', "pools.openai.members.1.kee: no such setting. Did you mean key?"),
        ("[credentials.chat]", "credentials.chat.project: needed where upstream_auth is dynamic_key"),
        ("certify_seconds = 'x'", "vault.certify_seconds: "),
        ("[vault]", "vault.addresses: needed where Vault is used"),
        ("BROKER__UPSTREAM__ATTEMPTS", "upstream.attempts: "),
        ("BROKER__CONTENT__BANNED_TOPICS", "content.banned_topics: not JSON"),
        ("BROKER__SERVRE__HTTPS", "servre: no such section. Did you mean server?"),
    ):
        where = written if written in os.environ else f"{tmp_path}/broker.toml:{_line(text, written)}"
        assert f"\n  {where}: {told}" in said
    second = _line(text, 'kee = "b"') - 1
    assert f"\n  {tmp_path}/broker.toml:{second}: pools.openai.members.1.key: missing" in said
    assert "17 mistakes:" in said


def _line(text: str, written: str) -> int:
    return text.splitlines().index(written) + 1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[server]\nhttps = ", 2),
        ("a = 1\n\n[a]\n", 3),
        ('a = 1\nb = "\n', 2),
        ("[server", 1),
        ("a = " + "[" * 3000, None),
        ("a = " + "1" * 5000, None),
        ("a = " + "[" * 300 + "]" * 300, None),
        ("[" + "a." * 3000 + "a]", 1),
    ],
)
def test_a_text_that_is_no_toml_is_told_with_its_line(
    loaded: Load, tmp_path: Path, text: str, line: int | None
) -> None:
    where = tmp_path / "broker.toml" if line is None else f"{tmp_path}/broker.toml:{line}"
    assert f"\n  {where}: " in refusal(loaded, text)


def test_a_byte_that_is_no_utf8_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "broker.toml"
    path.write_bytes(b"[server]\n# \xff\n")
    with pytest.raises(ConfigError, match=r"broker.toml:2: a byte that is no UTF-8"):
        load(path)


def test_a_folder_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Is a directory"):
        load(tmp_path)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:1",
        "[::1]:0",
        "::1:80",
        ":8443",
        "localhost:65535",
        "b-1.example.org:1",
        "127.1:1",
        "[::]:1",
    ],
)
def test_an_address_that_can_be_is_taken(loaded: Load, address: str) -> None:
    assert loaded(MINIMAL + f"[server]\nhttps = '{address}'").server.https == address


@pytest.mark.parametrize(
    "address",
    [
        "",
        "8443",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.300:1",
        "a b:1",
        "[::1:1",
        "[::g]:1",
        "-a:1",
    ],
)
def test_an_address_that_cannot_be_is_refused(loaded: Load, address: str) -> None:
    assert ": server.https: " in refusal(loaded, MINIMAL + f"[server]\nhttps = '{address}'")


@pytest.mark.parametrize(
    ("grpc", "apart"),
    [
        ("127.0.0.1:8443", False),
        ("0.0.0.0:8443", False),
        ("[::]:8443", False),
        (":8443", False),
        ("localhost:8443", False),
        ("127.0.0.2:8443", True),
        ("[::1]:8443", True),
    ],
)
def test_two_listeners_have_no_address_in_common(loaded: Load, grpc: str, *, apart: bool) -> None:
    text = MINIMAL + f"[server]\ngrpc = '{grpc}'"
    if apart:
        assert loaded(text).server.grpc == grpc
    else:
        line = len(text.splitlines())
        assert f":{line}: server.grpc: the address is that of server.https" in refusal(loaded, text)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load(tmp_path / "absent.toml")


@pytest.mark.parametrize(
    "entry", ["", " ", "\t", "*", "x-*", "x sim-", " x-", "x-sim:", "x-\\u00e9", "x-\\n", "a,b"]
)
def test_a_header_prefix_that_lets_everything_through_or_is_none_is_refused(
    loaded: Load, tmp_path: Path, entry: str
) -> None:
    text = MINIMAL + f'[server]\nforward_headers = ["x-sim-", "{entry}"]\n'
    said = refusal(loaded, text)
    place = f"\n  {tmp_path}/broker.toml:{len(text.splitlines())}: server.forward_headers: entry 2 "
    assert place + ("cannot begin" if entry.strip() else "is empty") in said
    assert "give how the names begin, such as x-sim-, without a *" in said


def test_header_prefixes_are_compared_in_any_letters(loaded: Load) -> None:
    given = loaded(MINIMAL + '[server]\nforward_headers = ["X-Sim-", "traceparent"]')
    assert given.server.forward_headers == ("x-sim-", "traceparent")
    assert loaded(MINIMAL + "[server]\nforward_headers = []").server.forward_headers == ()


@pytest.mark.parametrize("scopes", ["[]", '[""]', '["model.request", " "]', '["model request"]'])
def test_an_empty_list_of_scopes_does_not_make_a_key_that_opens_everything(loaded: Load, scopes: str) -> None:
    text = MINIMAL + DYNAMIC + f"project = 'p'\nscopes = {scopes}\n[dynamic_keys]\ninstance = '/i'"
    assert "credentials.chat.scopes: " in refusal(loaded, text)
    made = loaded(text.replace(f"scopes = {scopes}\n", ""))
    assert made.credentials["chat"].scopes == ()


def test_the_environment_wins(loaded: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER__SERVER__HTTPS", "127.0.0.1:9443")
    monkeypatch.setenv("BROKER__UPSTREAM__ATTEMPTS", "2")
    monkeypatch.setenv("BROKER__CONTENT__BANNED_TOPICS", '["one", "two"]')
    given = loaded(MINIMAL + "[server]\nhttps = '127.0.0.1:1'\ngrpc = '127.0.0.1:2'")
    assert (given.server.https, given.server.grpc) == ("127.0.0.1:9443", "127.0.0.1:2")
    assert given.upstream.attempts == 2
    assert given.content.banned_topics == ("one", "two")


def test_a_variable_of_a_whole_section_is_laid_over_the_files(
    loaded: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BROKER__SERVER", '{"https": "127.0.0.1:9443"}')
    monkeypatch.setenv("BROKER__UPSTREAM__REGIONS__EU", "https://eu.example.org")
    text = MINIMAL + "[upstream]\nregions = {us = 'https://us.example.org'}\n[server]\ngrpc = '127.0.0.1:2'\n"
    given = loaded(text)
    assert (given.server.https, given.server.grpc) == ("127.0.0.1:9443", "127.0.0.1:2")
    assert set(given.upstream.regions) == {"eu", "us"}
    monkeypatch.setenv("BROKER__SERVER", '{"https": "nowhere", "htps": 1}')
    said = refusal(loaded, text.replace("127.0.0.1:2", "nowhere"))
    assert f"\n  {tmp_path}/broker.toml:{len(text.splitlines())}: server.grpc: " in said
    assert "\n  BROKER__SERVER: server.https: " in said
    assert "\n  BROKER__SERVER: server.htps: no such setting. Did you mean https?" in said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BROKER__", "1"),
        ("BROKER__SERVER__", "1"),
        ("BROKER__SERVER__HTTPS__X", "1"),
        ("BROKER__SERVER", '{"https": {"a": {}}}'),
        ("BROKER__SERVER", '{"a":' * 900 + "1" + "}" * 900),
        ("BROKER__SERVER", "[" * 100_000),
        ("BROKER__SERVER", "null"),
        ("BROKER__SERVER", "127.0.0.1"),
        ("BROKER__POOLS__OPENAI", "a"),
    ],
)
def test_a_variable_that_makes_no_sense_is_named(
    loaded: Load, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert f"\n  {name}: " in refusal(loaded, MINIMAL)


def test_a_variable_of_an_empty_table_changes_nothing(loaded: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER__KEYS", "{}")
    monkeypatch.setenv("BROKER__SERVER", "{}")
    assert loaded(MINIMAL).keys.directory == Path("keys")


def test_the_environment_may_give_what_the_file_lacks(loaded: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER__TLS__CLIENT_CA", "other.pem")
    assert loaded(MINIMAL.replace('client_ca = "ca.pem"', "")).tls.client_ca == Path("other.pem")


@pytest.mark.parametrize("name", ["BROKER__SERVER__HTTSP", "BROKER__UPSTREAM__ATTEMPTS"])
def test_a_wrong_environment_variable_is_refused(
    loaded: Load, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "zero")
    assert "server.httsp" in refusal(loaded, MINIMAL) if "HTTSP" in name else refusal(loaded, MINIMAL)


def test_no_setting_holds_a_secret() -> None:
    """A key in the configuration would end in a repository: only paths of keys are settings."""
    names_of_keys = {"pools.<name>.members[].key"}
    for place, field in settings():
        name = place.rpartition(".")[2]
        suspicious = any(word in name for word in ("key", "secret", "password", "token"))
        assert not suspicious or place in names_of_keys or field.annotation in (Path, Path | None), place


POOL = MINIMAL + "[[pools.openai.members]]\n"


def test_a_key_pasted_where_its_name_belongs_is_refused_and_not_repeated(loaded: Load) -> None:
    pasted = "sk-proj-" + "Ab1_" * 30
    said = refusal(loaded, POOL + f"key = '{pasted}'")
    assert "pools.openai.members.0.key" in said
    assert pasted[:16] not in said


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (MINIMAL + "[pools.openai]\nmembers = []", "pools.openai.members"),
        (MINIMAL + "[pools.'Open/AI']\nmembers = [{key = 'a'}]", "pools.Open/AI"),
        (POOL + "key = 'a'\nweight = 0", "pools.openai.members.0.weight"),
        (POOL + "key = 'a'\nwieght = 2", "pools.openai.members.0.wieght"),
        (POOL + "key = 'a'\nproject = \"p\\r\\nx: y\"", "pools.openai.members.0.project"),
        (POOL + "key = 'a'\nteam = ''", "pools.openai.members.0.team"),
        (
            POOL + "key = 'a'\nregion = 'jp'\n[upstream.regions]\neu = 'https://eu.api.openai.com/v1'",
            "the region jp",
        ),
    ],
)
def test_a_pool_that_cannot_work_is_refused(loaded: Load, text: str, named: str) -> None:
    assert named in refusal(loaded, text)


DYNAMIC = "[credentials.chat]\nupstream_auth = 'dynamic_key'\n"
FEDERATED = "[credentials.chat]\nupstream_auth = 'workload_identity'\n"
TRUST = "subject_token = '/t'\nidentity_provider_id = 'i'\nservice_account_id = 's'\n"


@pytest.mark.parametrize(
    ("added", "named"),
    [
        (DYNAMIC + "project = 'p'", "dynamic_keys.instance"),
        (DYNAMIC + "[dynamic_keys]\ninstance = '/i'", "credentials.chat.project"),
        (DYNAMIC + "project = '../p'", "credentials.chat.project"),
        (DYNAMIC + TRUST + "project = 'p'", "credentials.chat.subject_token"),
        (DYNAMIC + "project = 'p'\nlife_seconds = 31536001", "credentials.chat.life_seconds"),
        (DYNAMIC + "project = 'p'\nfallback = 'openai'", "credentials.chat.fallback"),
        (FEDERATED, "credentials.chat.identity_provider_id"),
        (FEDERATED + TRUST + "project = 'p'", "credentials.chat.project"),
        ("[credentials.'Chat Team']\nupstream_auth = 'workload_identity'\n", "credentials.Chat Team"),
        ("[credentials.openai-admin]\nupstream_auth = 'workload_identity'\n" + TRUST, "admin_credential"),
        ("[dynamic_keys]\nurl = 'http://api.openai.com/v1'", "dynamic_keys.url"),
        ("[workload_identity]\nurl = 'http://auth.openai.com/'", "workload_identity.url"),
    ],
)
def test_a_credential_lacks_nothing_and_has_nothing_of_the_other_way(
    loaded: Load, added: str, named: str
) -> None:
    assert named in refusal(loaded, MINIMAL + added)


def test_without_a_store_there_is_no_admin_key_and_no_fallback(loaded: Load) -> None:
    stateless = MINIMAL.replace("[keys]\n", "[keys]\nadapter = 'none'\n")
    assert "keys.adapter" in refusal(loaded, stateless)
    assert loaded(stateless + FEDERATED + TRUST).keys.adapter == "none"
    assert "keys.adapter" in refusal(loaded, stateless + FEDERATED + TRUST + "fallback = 'openai'")

"""Canary keys in a real Vault: a mixed session of a serving broker, then a hunt through all that it left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import grpc
import openai
import pytest
from typer.testing import CliRunner

from broker.cli.main import app
from tests import plain
from tests.e2e.canaries import Canary, files, hunt, plant
from tests.e2e.records import entries
from tests.e2e.upstreams import simulator_process
from tests.running import PROGRAM, RunningBroker
from tests.vault.server import RealVault
from tests.vault.serving import sdk, start_serving, vault_sections
from tests.vault.test_serve_outages import assert_well_again, chat, embed, rpc_chat, rpc_embed

pytestmark = pytest.mark.servers

FAULTS = ("429/retry-after-ms:0", "500", "cut", "cut:0", "malformed-json", "error-event", "context-400")


@dataclass
class Session:
    """What was planted, what callers and operators got, what the broker leaves behind."""

    canaries: list[Canary] = field(default_factory=list)
    answers: dict[str, bytes] = field(default_factory=dict)
    places: dict[str, bytes] = field(default_factory=dict)

    def key(self, what: str) -> str:
        canary = Canary(what, f"sk-proj-{plant('').text}")
        self.canaries.append(canary)
        return canary.text

    def call(self, what: str, work: Callable[[], object]) -> None:
        """One call; what came of it is kept, errors with their bodies and headers."""
        name = f"{len(self.answers)} {what}"
        try:
            self.answers[name] = repr(work()).encode()
        except openai.APIStatusError as error:
            self.answers[name] = error.response.content + repr((error, error.response.headers)).encode()
        except (openai.APIError, grpc.RpcError) as error:
            self.answers[name] = repr(error).encode()


def _speak(session: Session, broker: RunningBroker) -> None:
    """The two credentials through both listeners, whole and streamed, with and without trouble upstream."""
    for work in (chat, rpc_chat, embed, rpc_embed):
        session.call(work.__name__, partial(work, broker))
    for fault in FAULTS:
        for stream in (False, True):
            session.call(f"{fault} {stream}", partial(_faulty, broker, fault, stream))


def _faulty(broker: RunningBroker, fault: str, stream: bool) -> object:
    with sdk(broker, "assistant") as client:
        reply = client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "hi"}],
            stream=stream,
            extra_headers={"x-sim-fault": fault},
        )
        return list(reply) if isinstance(reply, openai.Stream) else reply


def _operate(session: Session, config: Path, server: RealVault, *words: str, stdin: str = "") -> None:
    token = ("--config", str(config), "--token-file", str(server.keys_token))
    done = CliRunner().invoke(app, [*words, *token], input=stdin)
    session.answers[f"{len(session.answers)} broker {' '.join(words)}"] = done.output.encode()


def _live(session: Session, broker: RunningBroker, server: RealVault) -> None:
    """A key that upstream refuses and echoes, a quarantine, a sealed and a forbidding Vault, a deletion."""
    config = broker.directory / "broker.toml"
    _speak(session, broker)
    _operate(
        session, config, server, "keys", "rotate", "other", stdin=session.key("the key that upstream refuses")
    )
    time.sleep(1.1)
    _speak(session, broker)
    _operate(session, config, server, "keys", "list")
    _operate(session, config, server, "keys", "quarantine", "other", "--reason", "upstream refuses it")
    _operate(
        session, config, server, "keys", "import", "other", stdin=session.key("a malformed key") + " \u00e9"
    )
    _operate(session, config, server, "doctor")
    server.seal()
    time.sleep(1.1)
    _speak(session, broker)
    server.unseal()
    server.call("PUT", "sys/policies/acl/broker", {"policy": 'path "secret/*" { capabilities = ["deny"] }'})
    time.sleep(1.1)
    _speak(session, broker)
    server.grant()
    server.call("DELETE", "secret/data/openai/openai")
    time.sleep(2.6)
    _speak(session, broker)


def _look(session: Session, broker: RunningBroker) -> None:
    pid = broker.process.pid
    session.places["cmdline"] = Path(f"/proc/{pid}/cmdline").read_bytes()
    with suppress(PermissionError):  # not root: the kernel lets nobody read it, which is better still
        session.places["environ"] = Path(f"/proc/{pid}/environ").read_bytes()
    for page in ("/metrics", "/readyz", "/healthz", "/"):
        session.places[f"console {page}"] = plain.get(broker.console + page).content


@pytest.fixture(scope="module")
def session(real_vault: RealVault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    home = tmp_path_factory.mktemp("vault-canaries")
    (home / "b").mkdir()
    session = Session()
    good = session.key("the key that upstream takes")
    (home / "accepted").write_text(good)
    for name in ("openai", "other"):
        real_vault.put(name, good)
    role = real_vault.approle("canaries")
    session.canaries.append(Canary("the wrapping token", role.secret_id_file.read_text().strip()))
    with pytest.MonkeyPatch.context() as patch, simulator_process(home / "accepted") as url:
        patch.setenv("BROKER__LOG__LEVEL", "debug")
        broker = start_serving(home / "b", f"{url}/v1", vault_sections(real_vault, role), PROGRAM)
        try:
            assert_well_again(chat, broker)
            _live(session, broker, real_vault)
            _look(session, broker)
        finally:
            broker.stop()
    session.places["standard error"] = broker.errors.read_bytes()
    session.places |= files(broker.directory)
    session.places["records"] = b"\n".join(entry.encode() for entry in entries(broker.log))
    yield session
    real_vault.grant()
    for name in ("openai", "other"):
        real_vault.call("DELETE", f"secret/metadata/openai/{name}")


def test_no_key_of_vault_is_written_anywhere(session: Session) -> None:
    for name in ("records", "standard error", "console /metrics", "cmdline"):
        assert session.places[name], f"{name} is empty: the hunt proves nothing there"
    assert hunt(session.canaries, session.places) == []


def test_no_caller_and_no_operator_sees_a_key(session: Session) -> None:
    assert len(session.answers) > 80
    assert hunt(session.canaries, session.answers) == []


def test_the_session_was_as_mixed_as_it_should_be(session: Session) -> None:
    said = session.places["standard error"].decode()
    for cause in ("sealed", "forbidden", "absent"):
        assert cause in said, cause
    answers = b"".join(session.answers.values())
    for told in (b"credential_store_unavailable", b"Echo", b"quarantined", b"upstream refused the key"):
        assert told in answers, told

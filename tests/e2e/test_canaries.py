"""Keys, tokens, prompts and secrets: planted in a mixed session, then hunted through all that it left."""

from __future__ import annotations

import base64
import ctypes
import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import grpc
import pytest

from broker.gen.broker.v1 import chat_pb2, common_pb2, openai_pb2, openai_pb2_grpc
from tests import plain
from tests.e2e.canaries import Canary, files, hunt, plant
from tests.e2e.raw import channel
from tests.e2e.records import entries
from tests.e2e.upstreams import simulator_process
from tests.processes import children
from tests.running import PROGRAM, RunningBroker, start_broker

FAULTS = [
    "",
    "429-then-ok/retry-after-ms:1",
    "429/retry-after-ms:0",
    "500",
    "moderation-400",
    "context-400",
    "cut",
    "cut:0",
    "end-without-done",
    "malformed-json",
    "error-event",
    "unknown-event",
]
_READ = "import sys; open(sys.argv[1], 'rb').read(); print('read')"
_PR_CAPBSET_DROP = 24
T = TypeVar("T")


@dataclass
class Session:
    """One broker's mixed session: what was planted, what its callers got, and what it leaves behind."""

    broker: RunningBroker
    everywhere: list[Canary] = field(default_factory=list)
    from_callers: list[Canary] = field(default_factory=list)
    answers: dict[str, bytes] = field(default_factory=dict)
    places: dict[str, bytes] = field(default_factory=dict)
    limits: str = ""
    readable: list[int] = field(default_factory=list)

    def plant(self, stands_for: str) -> str:
        """A canary that the broker may pass on but must not write anywhere."""
        canary = plant(stands_for)
        self.everywhere.append(canary)
        return canary.text

    def keep(self, what: str, text: str) -> str:
        """A secret that must be neither written nor told to any caller."""
        canary = Canary(what, text)
        self.everywhere.append(canary)
        self.from_callers.append(canary)
        return text

    def token(self, identity: str) -> str:
        """This identity's token; its signature is hunted (what it claims is in the records)."""
        token = self.broker.token(identity)
        self.keep(f"token of {identity}", token.rpartition(".")[2])
        return token

    def post(
        self, path: str, body: object, *, fault: str = "", identity: str = "assistant", **extra: str
    ) -> int:
        """One call over HTTPS; what the caller gets is kept for the hunt."""
        headers = {"authorization": f"Bearer {self.token(identity)}", "x-sim-fault": fault, **extra}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        with self.broker.http(identity) as client:
            reply = client.post(
                path, content=content, headers={"content-type": "application/json", **headers}
            )
        self.answers[f"answer {len(self.answers)} to {path} {fault}"] = (
            reply.content + repr(reply.headers).encode()
        )
        return reply.status_code


def chat(content: Any, **fields: object) -> dict[str, object]:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": content}], **fields}


def speak_https(session: Session) -> None:
    """Successes, upstream faults and cut streams."""
    for fault in FAULTS:
        for stream in (False, True):
            prompt = session.plant(f"prompt, {fault or 'no fault'}")
            session.post("/v1/chat/completions", chat(prompt, stream=stream), fault=fault)
    tool = {"name": "find", "arguments": json.dumps({"who": session.plant("tool argument")})}
    called = {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": tool}]}
    answered = {"role": "tool", "tool_call_id": "c1", "content": session.plant("tool result")}
    session.post("/v1/chat/completions", {"model": "gpt-4o", "messages": [called, answered]})
    session.post("/v1/responses", {"model": "gpt-4o", "input": session.plant("input"), "stream": True})
    session.post("/v1/edits", {"input": session.plant("edit"), "instruction": session.plant("instruction")})
    session.post("/v1/embeddings", {"model": "text-embedding-3-small", "input": [session.plant("embedding")]})
    session.post("/v1/moderations", {"input": session.plant("moderation")})
    session.post(f"/v1/chat/completions?q={session.plant('query')}", chat("hi"))
    named = {
        "user-agent": session.plant("user agent"),
        "x-stainless-lang": session.plant("x-stainless header"),
    }
    session.post("/v1/chat/completions", chat("hi"), **named, cookie=session.plant("cookie"))


def speak_badly(session: Session) -> None:
    """Denials, secrets that are blocked or redacted, malformed bodies, strangers."""
    path = "/v1/chat/completions"
    key = session.keep("blocked OpenAI key", "sk-proj-" + plant("").text)
    assert session.post(path, chat(f"use {key} please")) == 400
    assert session.post(path, chat("hi", metadata={key: key})) == 400
    hidden = {"name": "f", "arguments": json.dumps({"key": key})}
    called = {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": hidden}]}
    assert session.post(path, {"model": "gpt-4o", "messages": [called]}) == 400
    card = session.keep("redacted card", "4716 9301 2345 6787")
    assert session.post(path, chat(f"charge {card}")) == 200
    assert session.post(path, {"model": "o3", **chat(session.plant("denied prompt"), model="o3")}) == 403
    assert session.post(path, chat("hi", model=f"gpt-4o {session.plant('model name')}")) in {400, 403}
    assert session.post(path, chat("hi", temperature=session.plant("wrong type"))) == 400
    assert session.post(path, chat("hi", **{session.plant("unknown field"): key})) == 400
    assert session.post(path, f'{{"messages": [{{"{session.plant("malformed body")}'.encode()) == 400
    assert session.post(path, session.plant("no JSON").encode()) == 400
    assert session.post(f"/v1/{session.plant('unknown path')}", {}) == 404
    stranger = session.keep("a stranger's bearer", plant("").text)
    with session.broker.http("assistant") as client:
        for headers in ({"authorization": f"Bearer {stranger}"}, {"authorization": stranger}):
            reply = client.post(path, json=chat(session.plant("stranger's prompt")), headers=headers)
            assert reply.status_code == 401
        stolen = {"authorization": f"Bearer {session.token('explorer')}"}
        assert client.post(path, json=chat("hi"), headers=stolen).status_code == 401
        scope = session.plant("asked scope")
        assert client.post("/oauth/token", data={"scope": scope, "grant_type": scope}).status_code == 400
        client.post("/oauth/revoke", data={"token": stranger})
        client.post("/oauth/introspect", data={"token": session.token("explorer")})


def speak_grpc(session: Session) -> None:
    """The same kinds of ending through the other listener."""
    with channel(session.broker, "explorer") as opened:
        stub = openai_pb2_grpc.OpenAIServiceStub(opened)
        for fault in ("words:3", "500", "cut", "malformed-json", "error-event", "unknown knob"):
            content = chat_pb2.ChatContent(text=session.plant(f"gRPC prompt, {fault}"))
            said = chat_pb2.ChatMessage(role=common_pb2.ROLE_USER, content=content)
            asked = openai_pb2.CreateChatCompletionRequest(model=f"gpt-4o-sim-{fault}", messages=[said])
            metadata = (
                ("authorization", f"Bearer {session.token('explorer')}"),
                ("user-agent-x", session.plant("metadata")),
            )
            whole = openai_pb2.StreamChatCompletionRequest(request=asked)
            for call in (
                lambda: stub.CreateChatCompletion(asked, metadata=metadata, timeout=20),  # noqa: B023 - called below
                lambda: list(stub.StreamChatCompletion(whole, metadata=metadata, timeout=20)),  # noqa: B023
            ):
                with suppress(grpc.RpcError):
                    call()
        raw: grpc.UnaryUnaryMultiCallable[bytes, bytes] = opened.unary_unary(
            "/broker.v1.OpenAIService/CreateChatCompletion"
        )
        with pytest.raises(grpc.RpcError) as caught:
            raw(session.plant("malformed message").encode(), metadata=metadata, timeout=5)
    session.answers["gRPC refusal"] = repr(caught.value).encode()


def look(session: Session) -> None:
    """Gathers all that a live broker shows of itself."""
    pid = session.broker.process.pid
    [writer] = children(pid)
    session.readable = [each for each in (pid, writer) if powerless(partial(readable, each))]
    session.limits = Path(f"/proc/{pid}/limits").read_text()
    session.places["cmdline"] = Path(f"/proc/{pid}/cmdline").read_bytes()
    with suppress(PermissionError):  # not root: the kernel lets nobody read it, which is better still
        session.places["environ"] = Path(f"/proc/{pid}/environ").read_bytes()
    for page in ("/metrics", "/readyz", "/healthz", "/", "/none"):
        session.places[f"console {page}"] = plain.get(session.broker.console + page).content
    with session.broker.http(None) as client:
        for page in ("/healthz", "/readyz", "/.well-known/oauth-authorization-server"):
            session.places[f"https {page}"] = client.get(page).content


def leave(session: Session) -> None:
    """Stops the broker and gathers what it leaves: its output, its files, its records."""
    broker = session.broker
    broker.process.terminate()
    assert broker.process.stdout is not None
    session.places["standard output"] = broker.process.stdout.read().encode()
    broker.stop()
    session.places["standard error"] = broker.errors.read_bytes()
    session.places |= files(broker.directory)
    session.places["records"] = b"\n".join(entry.encode() for entry in entries(broker.log))


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """Two lives in one directory: with the key that upstream takes, then with one that it echoes and refuses.
    The broker's log is as talkative as it can be.
    """
    home = tmp_path_factory.mktemp("canaries")
    good, wrong = home / "good.key", home / "wrong.key"
    good.write_text(f"sk-proj-{plant('').text}good")
    wrong.write_text(f"sk-proj-{plant('').text}evil")
    seen: list[Session] = []
    with pytest.MonkeyPatch.context() as patch, simulator_process(good) as url:
        patch.setenv("BROKER__LOG__LEVEL", "debug")
        for key in (good, wrong):
            upstream = ("--upstream", f"{url}/v1", "--upstream-key-file", str(key))
            one = Session(powerless(partial(start_broker, home / "b", *upstream, program=PROGRAM)))
            if seen:
                one.everywhere, one.from_callers = seen[0].everywhere, seen[0].from_callers
            one.keep("the upstream's key", key.read_text())
            seen.append(one)
            try:
                if key is good:
                    speak_https(one)
                    speak_badly(one)
                else:
                    assert one.post("/v1/chat/completions", chat(one.plant("prompt with a wrong key"))) == 503
                speak_grpc(one)
                look(one)
            finally:
                leave(one)
    first, second = seen
    second.places |= {f"first life's {name}": content for name, content in first.places.items()}
    second.answers |= {f"first life's {name}": content for name, content in first.answers.items()}
    return second


def test_nothing_that_was_planted_is_written_anywhere(session: Session) -> None:
    assert len(session.everywhere) > 60
    for name in ("records", "standard error", "first life's console /metrics", "keys/openai.sealed.json"):
        assert session.places[name], f"{name} is empty: the hunt proves nothing there"
    assert hunt(session.everywhere, session.places) == []


def test_no_answer_tells_a_key_a_token_or_a_blocked_secret(session: Session) -> None:
    assert len(session.answers) > 40
    assert hunt(session.from_callers, session.answers) == []


def test_the_session_was_as_mixed_as_it_should_be(session: Session) -> None:
    log = entries(session.broker.log)
    kinds = {entry.record.type.value for entry in log}
    errors = {told for entry in log for told in (entry.record.error, entry.record.reason)}
    assert {"token", "denied", "intent", "outcome", "start"} <= kinds
    assert {
        "UPSTREAM_INTERRUPTED",
        "CREDENTIAL_STORE_UNAVAILABLE",
        "CONTENT_BLOCKED",
        "POLICY_DENIED",
    } <= errors
    assert {"https", "grpc"} <= {entry.record.transport for entry in log}
    assert {200, 400, 401, 429, 500} <= {entry.record.status for entry in log}
    assert any(entry.record.findings for entry in log)
    assert hunt(session.everywhere, session.answers), "no prompt came back: none was ever sent"


@pytest.mark.parametrize("form", ["plain", "part", "hex", "base64"])
def test_the_hunt_finds_a_planted_file(tmp_path: Path, form: str) -> None:
    canary = plant("a prompt")
    shown = {
        "plain": f'{{"event": "{canary.text}"}}'.encode(),
        "part": f"…{canary.text[5:18]}…".encode(),
        "hex": canary.text.encode().hex().encode(),
        "base64": base64.b64encode(b"Bearer " + canary.text.encode() + b"."),
    }
    (tmp_path / "log" / "tile").mkdir(parents=True)
    (tmp_path / "log" / "tile" / "000").write_bytes(b"harmless")
    assert hunt([canary], files(tmp_path)) == []
    (tmp_path / "log" / "tile" / "001").write_bytes(shown[form])
    assert hunt([canary, plant("another")], files(tmp_path)) == ["a prompt in log/tile/001"]


def powerless(do: Callable[[], T]) -> T:
    """Runs `do` in a thread whose child processes have no capabilities: root's overrule "not dumpable"."""

    def dropped() -> T:
        for capability in range(64):
            ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
        return do()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(dropped).result()


def readable(pid: int) -> bool:
    """Whether another process of this user can read that process's environment, as it could its memory."""
    command = [sys.executable, "-c", _READ, f"/proc/{pid}/environ"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.stdout or "PermissionError" in done.stderr, done.stderr
    return done.stdout.strip() == "read"


def test_no_other_process_can_read_the_brokers_memory_nor_its_core(session: Session) -> None:
    with powerless(lambda: subprocess.Popen(["sleep", "60"])) as ordinary:
        assert powerless(lambda: readable(ordinary.pid)), "not even an ordinary one: nothing is proved"
        ordinary.kill()
    assert session.readable == []  # nor its writer's: the log's keys are there, too
    core = next(line.split() for line in session.limits.splitlines() if line.startswith("Max core file size"))
    assert core[4:6] == ["0", "0"]

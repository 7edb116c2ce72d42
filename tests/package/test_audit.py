"""`make audit` asks about every package of uv.lock, and passes only where every answer is a good one."""

from __future__ import annotations

import json
import subprocess
import threading
import tomllib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = "openai-broker"

Answer = Callable[[dict[str, Any]], tuple[int, dict[str, Any]]]


class VulnerabilityService(ThreadingHTTPServer):
    """Speaks OSV's API; keeps which packages it was asked about."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: set[tuple[str, str]] = set()
        self.answer: Answer = lambda _question: (200, {})


class _Handler(BaseHTTPRequestHandler):
    server: VulnerabilityService

    def do_POST(self) -> None:
        question = json.loads(self.rfile.read(int(self.headers["content-length"])))
        package = question["package"]["name"], question["version"]
        self.server.asked.add(package)
        status, answer = self.server.answer(question)
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Nothing."""


@pytest.fixture
def service() -> Iterator[VulnerabilityService]:
    with VulnerabilityService() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def audit(url: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """`-o`: the environment stays as it is."""
    return subprocess.run(
        [
            *("make", "-s", "-o", ".venv/.ready", "audit", f"DIST={folder}"),
            f"AUDIT_SERVICE=osv --osv-url {url}",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def test_it_asks_about_every_package_of_any_platform(service: VulnerabilityService, tmp_path: Path) -> None:
    done = audit(f"http://127.0.0.1:{service.server_port}", tmp_path)
    assert done.returncode == 0, done.stderr
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    assert service.asked == {(each["name"], each["version"]) for each in packages if each["name"] != PROJECT}


def test_a_known_vulnerability_fails_with_what_to_do(service: VulnerabilityService, tmp_path: Path) -> None:
    def hole_in_httpx(question: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        package = question["package"]
        known = {"id": "PYSEC-0000-1", "summary": "made up", "affected": [{"package": package}]}
        return 200, {"vulns": [known]} if package["name"] == "httpx" else {}

    service.answer = hole_in_httpx
    done = audit(f"http://127.0.0.1:{service.server_port}", tmp_path)
    assert done.returncode != 0
    assert "PYSEC-0000-1" in done.stdout
    assert "Try: a newer version" in done.stdout


def test_a_service_that_does_not_answer_is_a_failure(service: VulnerabilityService, tmp_path: Path) -> None:
    service.answer = lambda _question: (503, {})
    done = audit(f"http://127.0.0.1:{service.server_port}", tmp_path)
    assert done.returncode != 0
    assert "audit not passed" in done.stdout


def test_nobody_there_is_a_failure(tmp_path: Path) -> None:
    done = audit("http://127.0.0.1:9", tmp_path)
    assert done.returncode != 0
    assert "audit not passed" in done.stdout

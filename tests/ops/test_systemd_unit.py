"""The systemd unit as it is shipped: systemd reads all of it, and the broker does what it says."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.ops.test_start import config_of
from tests.running import environment

UNIT = Path("deploy/systemd/broker.service")
KNOWN = {
    "Unit": {"Description", "After", "Wants"},
    "Service": {
        "ExecStart", "ExecReload", "Restart", "RestartSec", "TimeoutStopSec", "DynamicUser", "StateDirectory",
        "StateDirectoryMode", "RuntimeDirectory", "RuntimeDirectoryMode", "RuntimeDirectoryPreserve", "UMask",
        "LimitCORE", "LimitNOFILE", "NoNewPrivileges", "CapabilityBoundingSet", "ProtectSystem",
        "ProtectHome", "PrivateTmp", "PrivateDevices", "ProtectKernelTunables", "ProtectKernelModules",
        "ProtectControlGroups", "RestrictAddressFamilies", "RestrictNamespaces", "LockPersonality",
        "SystemCallArchitectures",
    },
    "Install": {"WantedBy"},
}  # fmt: skip
"""systemd.unit(5), systemd.service(5), systemd.exec(5): of a misspelt one systemd only warns."""


def settings() -> dict[tuple[str, str], str]:
    """Section and name to value; read strictly, with nothing twice."""
    found: dict[tuple[str, str], str] = {}
    section = ""
    for line in UNIT.read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            name, equals, value = line.partition("=")
            assert equals
            assert name in KNOWN[section], f"[{section}] {name}"
            assert (section, name) not in found, name
            found[section, name] = value
    return found


def test_the_unit_says_what_systemd_knows() -> None:
    said = settings()
    assert said["Service", "Restart"] == "on-failure"  # exit 1: the log was lost, or something hung
    assert "AF_UNIX" not in said["Service", "RestrictAddressFamilies"]  # socketpair(2) is not restricted


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd here: the strict reading remains"
)
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """Issue 12, B.25: the unit was shipped unread."""
    program = tmp_path / "broker"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "broker.service"
    unit.write_text(UNIT.read_text().replace("/opt/broker/bin/broker", str(program)))
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    assert (said.returncode, said.stderr) == (0, "")


def test_the_command_of_the_unit_serves_and_ends_with_0(tmp_path: Path) -> None:
    """ExecStart, its program and its configuration in another place; under the unit's limits and umask."""
    said = settings()
    program, *arguments = shlex.split(said["Service", "ExecStart"])
    assert program == "/opt/broker/bin/broker"
    config = str(config_of(tmp_path / "b"))
    arguments = [config if each == "/etc/broker/broker.toml" else each for each in arguments]
    umask, files = said["Service", "UMask"], said["Service", "LimitNOFILE"][:4]
    limits = f'umask {umask}; ulimit -n {files}; exec "$@"'
    command = ["sh", "-c", limits, "sh", str(Path(sys.executable).with_name("broker")), *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )
    assert process.stdout is not None
    ready = "ready\n" in iter(process.stdout.readline, "")
    process.terminate()
    began = time.monotonic()
    _, errors = process.communicate(timeout=float(said["Service", "TimeoutStopSec"].removesuffix("s")))
    assert ready, errors
    assert process.returncode == 0, errors
    assert time.monotonic() - began < 15

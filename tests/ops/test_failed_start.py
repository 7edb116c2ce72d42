"""A start that fails, wherever, leaves nothing: no process, no address, no key at OpenAI, no open log."""

from __future__ import annotations

import ast
import errno
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from broker.adapters.filelock import try_lock
from broker.app import broker as composition
from broker.model.record import RecordType
from tests.e2e.records import entries, verify
from tests.ephemeral_keys.site import PROJECT, Site, site
from tests.nursery import Born, the_nursery
from tests.ports import free_port
from tests.processes import GROUP, STATE, stats
from tests.running import PROGRAM, SMALL_POLICIES, environment
from tests.vault.serving import configuration

START_SECONDS = 60
LISTENERS = ("https", "grpc", "console")


def parts() -> list[str]:
    """The names of all parts of a start, in their order, as the composition root has them."""
    path = Path(composition.__file__)
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    named = [
        call
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in {"add", "begin", "run"}
        and ast.unparse(call.func.value) == "parts"
    ]
    return [ast.literal_eval(call.args[0]) for call in sorted(named, key=lambda call: call.lineno)]


@dataclass(frozen=True)
class Place:
    """Where brokers start, one after the other: the same folder, addresses and OpenAI."""

    here: Site
    addresses: Mapping[str, str]

    @property
    def log(self) -> Path:
        return self.here.directory / "log"

    def config(self, **changed: Mapping[str, object]) -> Path:
        """The configuration, with some keys of some sections changed. Its engine is an OPA that is away: to
        try policies takes a start longer than all the rest.
        """
        away = {"policy": {"adapter": "opa"}, "opa": {"url": f"http://127.0.0.1:{free_port()}"}}
        return self.deciding(**away, **changed)

    def deciding(self, **changed: Mapping[str, object]) -> Path:
        """The same, with the policies of the folder."""
        directory = self.here.directory
        sections: dict[str, dict[str, object]] = {
            "keys": {"directory": str(directory / "keys")},
            "server": {**self.addresses},
            "credentials.openai": {
                "upstream_auth": "dynamic_key",
                "project": PROJECT,
                "scopes": ["model.request"],
                "life_seconds": 600,
            },
            "dynamic_keys": {"url": f"{self.here.openai}/v1", "instance": str(directory / "instance")},
            "audit": {
                "directory": str(self.log),
                "origin": "dev.broker/start",
                "keys": str(directory / "log-keys"),
            },
        }
        for name, section in changed.items():
            sections[name] = {**sections.get(name, {}), **section}
        return configuration(directory, f"{self.here.openai}/v1", sections)

    def types(self) -> list[RecordType]:
        return [entry.record.type for entry in entries(self.log)] if self.log.is_dir() else []


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with site(tmp_path_factory.mktemp("failing") / "broker") as here:
        shutil.copytree(SMALL_POLICIES[1], here.directory / "policies")
        place = Place(here, {name: f"127.0.0.1:{free_port()}" for name in LISTENERS})
        serves(place, place.deciding())
        yield place


def spawn(config: Path, part: str) -> Born:
    """`broker serve`; `part` is the one at which it waits, if any."""
    stopping = f"from tests.ops.stopping import stop_at; stop_at({part!r})" if part else ""
    return the_nursery().spawn("serve", "--config", str(config), first=stopping, environment=environment())


def fails(place: Place, config: Path, part: str = "") -> str:
    """What a start says that fails, at `part` where that is given; by then, nothing of it is left."""
    begun = place.types()
    process = spawn(config, part)
    said, errors = process.communicate("fail\n", timeout=START_SECONDS)
    assert (process.returncode, said.replace("begun\n", "")) == (3, ""), errors
    assert [line[:8] for line in errors.splitlines()].count("broker: ") == 1, errors
    for never in ("Traceback", "not_stopped", "Errno", "never awaited", "never retrieved"):
        assert never not in errors, errors
    leaves_nothing(place, process.pid, begun)
    return errors


def leaves_nothing(place: Place, pid: int, begun: list[RecordType]) -> None:
    """Neither process nor key; `begun` is what the log had before."""
    assert [each for each, stat in stats() if int(stat[GROUP]) == pid and stat[STATE] != "Z"] == []
    assert place.here.organization()["accounts"] == []
    new = place.types()[len(begun) :]
    assert new.count(RecordType.START) == new.count(RecordType.CLOSE) <= 1
    assert new[-1:] in ([], [RecordType.CLOSE])


def is_ready_and_ends(process: subprocess.Popen[str] | Born) -> None:
    assert process.stdout is not None
    is_ready = "ready\n" in iter(process.stdout.readline, "")
    process.terminate()
    _, errors = process.communicate(timeout=START_SECONDS)
    assert is_ready, errors
    assert process.returncode == 0, errors


def serves(place: Place, config: Path) -> None:
    """A start right after, with an interpreter of its own, is ready and ends as it should."""
    command = [sys.executable, *PROGRAM, "serve", "--config", str(config)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        is_ready_and_ends(process)
    assert place.here.organization()["accounts"] == []
    verified = verify(place.log)
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.parametrize("part", [part for part in parts() if part != "vault"])
def test_whatever_has_begun_is_undone(place: Place, part: str) -> None:
    """Each start needs the addresses, the instance and the log that the one before had."""
    config = place.deciding() if part == "policy" else place.config()
    assert f"{part}: made to fail. " in fails(place, config, part)


def test_after_starts_that_failed_one_succeeds(place: Place) -> None:
    serves(place, place.deciding())


def test_a_key_that_was_made_is_deleted(place: Place) -> None:
    begun = place.types()
    process = spawn(place.config(), "listeners")
    assert process.stdout.readline() == "begun\n"
    deadline = time.monotonic() + 20
    while not place.here.live() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert place.here.live()
    _, errors = process.communicate("fail\n", timeout=START_SECONDS)
    assert process.returncode == 3, errors
    leaves_nothing(place, process.pid, begun)


@contextmanager
def taken_port(place: Place) -> Iterator[Path]:
    host, port = place.addresses["grpc"].split(":")
    with socket.create_server((host, int(port))):
        yield place.config()


@contextmanager
def vault_that_is_away(place: Place) -> Iterator[Path]:
    wrapped = place.here.directory / "wrapped"
    wrapped.write_text("hvs.nobody")
    yield place.config(
        vault={
            "addresses": [f"https://127.0.0.1:{free_port()}"],
            "role_id": "nobody",
            "wrapped_secret_id": str(wrapped),
            "certify": True,
        }
    )


@contextmanager
def broken_policy(place: Place) -> Iterator[Path]:
    config = place.deciding()
    broken = place.here.directory / "policies" / "broken.rego"
    broken.write_text("package broker.calls\n\nallow if {\n")
    yield config
    broken.unlink()


@contextmanager
def no_certificate(place: Place) -> Iterator[Path]:
    config = place.config()
    certificate = place.here.directory / "pki" / "server.pem"
    moved = certificate.rename(certificate.with_suffix(".away"))
    yield config
    moved.rename(certificate)


@contextmanager
def folder_in_place_of(place: Place, name: str) -> Iterator[Path]:
    """Where this file beside the log's keys was, there is a folder."""
    file = place.here.directory / "log-keys" / name
    moved = file.rename(file.with_suffix(".away"))
    file.mkdir()
    yield place.config()
    file.rmdir()
    moved.rename(file)


def owners_that_are_no_file(place: Place) -> AbstractContextManager[Path]:
    return folder_in_place_of(place, "objects.sqlite")


def commitment_key_that_is_no_file(place: Place) -> AbstractContextManager[Path]:
    return folder_in_place_of(place, "commitment.key")


@contextmanager
def keys_in_a_file(place: Place) -> Iterator[Path]:
    folder = place.here.directory / "no-keys-folder"
    folder.touch()
    yield place.config(audit={"keys": str(folder / "keys")})


@contextmanager
def log_in_a_file(place: Place) -> Iterator[Path]:
    folder = place.here.directory / "no-folder"
    folder.touch()
    yield place.config(audit={"directory": str(folder / "log")})


@contextmanager
def log_that_was_removed(place: Place) -> Iterator[Path]:
    yield place.config(audit={"directory": str(place.here.directory / "another-log")})


@contextmanager
def instance_of_another(place: Place) -> Iterator[Path]:
    with (place.here.directory / "instance").open("rb") as file:
        assert try_lock(file.fileno())
        yield place.config()


FAULTS: dict[Callable[[Place], AbstractContextManager[Path]], str] = {
    taken_port: "give another port",
    vault_that_is_away: "Vault",
    broken_policy: "broken.rego",
    instance_of_another: "Another process is the broker instance",
    no_certificate: "server.pem",
    keys_in_a_file: "no-keys-folder",
    owners_that_are_no_file: "objects.sqlite",
    log_in_a_file: "no-folder",
    log_that_was_removed: "it was removed, cut or rolled back",
    commitment_key_that_is_no_file: "commitment.key",
}
"""What happens to real parts, in the order of a start, and what is told then."""


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_is_told_and_undone(
    place: Place, fault: Callable[[Place], AbstractContextManager[Path]]
) -> None:
    with fault(place) as config:
        assert FAULTS[fault] in fails(place, config)


def test_after_faults_that_were_mended_a_start_succeeds(place: Place) -> None:
    serves(place, place.deciding())


def test_where_an_address_is_taken_nothing_else_has_begun(place: Place) -> None:
    """Issue 13: keys were made at OpenAI, and the log opened, before the address was asked for."""
    before = len(place.types()), len(place.here.organization()["events"])
    with taken_port(place) as config:
        fails(place, config)
    assert (len(place.types()), len(place.here.organization()["events"])) == before


def test_until_it_is_ready_its_addresses_are_taken_and_refuse(place: Place) -> None:
    process = spawn(place.deciding(), "policy")
    assert process.stdout.readline() == "begun\n"
    for address in place.addresses.values():
        host, port = address.split(":")
        with socket.socket() as caller:
            assert caller.connect_ex((host, int(port))) == errno.ECONNREFUSED
        with pytest.raises(OSError, match="in use"):
            socket.create_server((host, int(port)))
    process.stdin.write("go on\n")
    process.stdin.flush()
    is_ready_and_ends(process)


@pytest.mark.parametrize("part", ["log", "space"])
def test_a_signal_while_it_starts_ends_it_as_any_other(place: Place, part: str) -> None:
    begun = place.types()
    process = spawn(place.config(), part)
    assert process.stdout.readline() == "begun\n"
    process.terminate()
    _, errors = process.communicate("go on\n", timeout=START_SECONDS)
    assert process.returncode == 0, errors
    leaves_nothing(place, process.pid, begun)

"""What an operator is told when a broker starts, or cannot."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from broker.app.listeners import published
from broker.cli.devfiles import DevPaths, Serving, configuration, import_upstream_key
from broker.cli.main import told
from broker.errors import ConfigError
from tests import plain
from tests.commands import Done
from tests.nursery import the_nursery
from tests.ports import free_port
from tests.serving import _toml

LISTENERS = ("https", "grpc", "console")


def config_of(home: Path, opa: str | None = None, **server: str) -> Path:
    """A complete configuration with these addresses; the other listeners take any free port."""
    places = DevPaths(home)
    places.prepare()
    import_upstream_key(places, "sk-sim-" + "a1B2" * 8)
    free = Serving(**dict.fromkeys(LISTENERS, "127.0.0.1:0"), workers=1)
    made = configuration(places, free, "http://127.0.0.1:9/v1", None)
    config = home / "broker.toml"
    sections = made.model_dump(mode="json", exclude_none=True)
    sections["server"] |= server
    if opa is not None:
        sections["policy"]["adapter"], sections["opa"] = "opa", {"url": opa}
    config.write_text(_toml(sections))
    return config


def serve(config: Path) -> Done:
    """`broker serve`, which is to end by itself."""
    return the_nursery().spawn("serve", "--config", str(config)).done()


@pytest.mark.parametrize("listener", LISTENERS)
def test_a_port_in_use_is_told_with_its_address(tmp_path: Path, listener: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = serve(config_of(tmp_path / "b", **{listener: address}))
    assert done.returncode == 3, done.stderr
    assert address in done.stderr
    assert "give another port" in done.stderr
    assert "Errno" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("address", ["127.0.0.1:70000", "203.0.113.7:8443"])
def test_an_address_that_cannot_be_is_told(tmp_path: Path, address: str) -> None:
    done = serve(config_of(tmp_path / "b", https=address))
    assert done.returncode == 3, done.stderr
    assert address in done.stderr
    assert "Errno" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["certificate", "client_ca"])
def test_a_missing_file_is_told_with_its_path(tmp_path: Path, name: str) -> None:
    config = config_of(tmp_path / "b")
    lines = config.read_text().splitlines()
    section = lines.index("[tls]")
    place = next(n for n, line in enumerate(lines) if n > section and line.startswith(f"{name} = "))
    lines[place] = f'{name} = "{tmp_path}/none.pem"'
    config.write_text("\n".join(lines))
    done = serve(config)
    assert done.returncode == 3, done.stderr
    assert f"{tmp_path}/none.pem" in done.stderr
    assert "Errno" not in done.stderr
    assert "Traceback" not in done.stderr


def test_every_os_error_names_its_place_and_a_remedy() -> None:
    for error in (
        FileNotFoundError(2, "No such file or directory", "/x"),
        PermissionError(13, "Permission denied", "/x"),
    ):
        assert told(error).startswith("/x: ")
        assert told(error).endswith(".")
    assert "Errno" not in told(OSError(5, "Input/output error"))


def test_ready_is_said_when_readyz_says_so(tmp_path: Path) -> None:
    console = f"127.0.0.1:{free_port()}"
    config = config_of(tmp_path / "b", f"http://127.0.0.1:{free_port()}", console=console)
    process = the_nursery().spawn("serve", "--config", str(config))
    try:
        said = [process.stdout.readline().strip() for _ in range(3)]
        state = plain.get(f"http://{console}/readyz")
        assert (state.status_code, said[2].partition(":")[0]) == (503, "waiting")
        assert said[2] == f"waiting: {state.text.splitlines()[0]}"
    finally:
        process.terminate()
        process.communicate()


@pytest.mark.parametrize(("name", "mode"), [(".", 0o777), ("keys", 0o777), ("log", 0o777), (".", 0o775)])
def test_dev_refuses_a_folder_that_others_may_write(tmp_path: Path, name: str, mode: int) -> None:
    """Issue 12, B.25: a folder that the group may write to was tolerated."""
    folder = tmp_path / "b" / name
    folder.mkdir(parents=True)
    folder.chmod(mode)
    done = the_nursery().spawn("dev", "--dir", str(tmp_path / "b")).done()
    assert done.returncode == 3
    assert f"chmod 700 {folder}" in done.stderr
    assert stat.S_IMODE(folder.stat().st_mode) == mode  # it is the owner's to mend


def test_dev_tightens_what_a_generous_umask_gave_inside_its_own_folder(tmp_path: Path) -> None:
    places = DevPaths(tmp_path / "b")
    places.prepare()
    (places.keys / "log").mkdir(parents=True)
    for folder in (places.keys, places.keys / "log"):
        folder.chmod(0o775)
    places.prepare()
    for folder in (places.keys, places.keys / "log"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    places.root.chmod(0o750)  # from now on, the group could have written
    places.keys.chmod(0o775)
    with pytest.raises(ConfigError, match="others than you may write there"):
        places.prepare()


@pytest.mark.parametrize(
    ("bound", "expected"),
    [
        ("https://0.0.0.0:8443", "https://broker.example.org"),
        ("https://[::]:8443", "https://broker.example.org"),
        ("https://127.0.0.1:8443", "https://127.0.0.1:8443"),
        ("https://[::1]:8443", "https://[::1]:8443"),
    ],
)
def test_oauth_metadata_names_no_unspecified_address(bound: str, expected: str) -> None:
    assert published(bound, "https://broker.example.org/") == expected

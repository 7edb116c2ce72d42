"""Generates broker/gen from protos/broker: messages, gRPC stubs and their types. `make protos` runs it.

The generated modules import each other as `broker.v1.…`, a package that the project's own `broker`
shadows; the imports are rewritten to `broker.gen.broker.v1.…`, so that they also work from a wheel.
The output depends only on the protos and on the versions locked in uv.lock.
"""

from __future__ import annotations

import re
import sys
import tempfile
from importlib import resources
from pathlib import Path

from grpc_tools import protoc  # type: ignore[import-untyped]

PROTOS = Path(__file__).resolve().parent
TARGET = PROTOS.parent / "broker" / "gen"
_IMPORT = re.compile(r"^(from |import |_builder\..*')broker\.v1\b", re.MULTILINE)
_PLUGINS = ("mypy", "mypy_grpc")
_PACKAGES = {
    "__init__.py": '"""Generated code; never edited. Source: protos/. Generator: protos/generate.py."""\n',
    "broker/__init__.py": "",
    "broker/v1/__init__.py": (
        '"""gRPC messages and stubs of package broker.v1.\n\n'
        "    from broker.gen.broker.v1 import chat_pb2, openai_pb2, openai_pb2_grpc\n"
        '"""\n'
    ),
}


def generate(target: Path) -> None:
    """Writes the whole package below `target`. Raises RuntimeError when protoc refuses the protos."""
    sources = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.glob("broker/**/*.proto"))
    target.mkdir(parents=True, exist_ok=True)
    services = [name for name in sources if "\nservice " in (PROTOS / name).read_text()]
    _protoc(target, sources, "python", "mypy")
    _protoc(target, services, "grpc_python", "mypy_grpc")
    for name, text in _PACKAGES.items():
        (target / name).write_text(text)
    for path in [*target.rglob("*_pb2*.py"), *target.rglob("*_pb2*.pyi")]:
        path.write_text(_IMPORT.sub(r"\1broker.gen.broker.v1", path.read_text()))


def _protoc(target: Path, sources: list[str], *kinds: str) -> None:
    beside_python = Path(sys.executable).parent
    arguments = [
        "protoc",
        f"-I{PROTOS}",
        f"-I{resources.files('grpc_tools') / '_proto'}",
        *(f"--plugin=protoc-gen-{name}={beside_python / f'protoc-gen-{name}'}" for name in _PLUGINS),
        *(f"--{kind}_out=quiet:{target}" if kind in _PLUGINS else f"--{kind}_out={target}" for kind in kinds),
        *sources,
    ]
    if protoc.main(arguments) != 0:
        raise RuntimeError("protoc refused the protos; what it found is printed above")


def write(fresh: Path) -> None:
    """Replaces broker/gen with the freshly generated package."""
    for stale in sorted(TARGET.rglob("*_pb2*.py*")):
        stale.unlink()
    for name, content in _content(fresh).items():
        place = TARGET / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


def _content(package: Path) -> dict[str, bytes]:
    """Every source file of a package, by its relative path."""
    files = (path for suffix in ("py", "pyi") for path in package.rglob(f"*.{suffix}"))
    return {str(path.relative_to(package)): path.read_bytes() for path in sorted(files)}


def main(arguments: list[str]) -> int:
    """Regenerates; with `--check` only compares, and returns 1 where broker/gen differs."""
    with tempfile.TemporaryDirectory() as directory:
        fresh = Path(directory)
        generate(fresh)
        if "--check" not in arguments:
            write(fresh)
        elif _content(fresh) != _content(TARGET):
            print("broker/gen is not what protos/ says: run `make protos` and commit", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

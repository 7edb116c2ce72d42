"""The committed stubs are what the protos say, and can be imported from anywhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[2]


def test_the_committed_stubs_are_what_the_generator_writes() -> None:
    ended = subprocess.run(
        [sys.executable, "protos/generate.py", "--check"], cwd=_ROOT, capture_output=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_stubs_import_each_other_below_broker_gen() -> None:
    program = (
        "from broker.gen.broker.v1 import openai_pb2, openai_pb2_grpc, token_pb2_grpc, audit_pb2_grpc;"
        "import pickle; m = openai_pb2.CreateEditRequest(model='m');"
        "assert pickle.loads(pickle.dumps(m)) == m; print(openai_pb2_grpc.OpenAIServiceStub.__name__)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=_ROOT, capture_output=True, check=True, text=True
    )
    assert ended.stdout == "OpenAIServiceStub\n"


def test_every_proto_says_where_other_languages_find_it() -> None:
    """Without `go_package`, protoc's Go plug-in refuses the files as they are."""
    for path in sorted((_ROOT / "protos").rglob("*.proto")):
        said = {line.split()[1] for line in path.read_text().splitlines() if line.startswith("option ")}
        assert said >= {"go_package", "java_package", "csharp_namespace", "php_namespace", "ruby_package"}, (
            path
        )

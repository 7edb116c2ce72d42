"""The two engines side by side, and the tables both are asked."""

from __future__ import annotations

import atexit
import json
import shutil
import subprocess
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp

from broker.adapters.policyfiles.source import PolicySource, read_tests
from broker.adapters.rego.proof import Proven, prove
from broker.adapters.rego.table_cases import read_cases, read_fixture

ROOT = Path(__file__).parents[2]
POLICIES = ROOT / "policies"
BUILTINS = Path(__file__).with_name("builtins.json")
OPA = next((str(path) for path in (ROOT / ".tools/bin/opa",) if path.exists()), None) or shutil.which("opa")
UNDEFINED = "(undefined)"
POINTS = ("tokens", "calls", "admin")
TABLES = {
    "tokens": "tokens",
    "admin": "admin",
    **dict.fromkeys(
        (
            "calls",
            "ordinary",
            "terms",
            "denial",
            "conditions",
            "content",
            "changes",
            "output",
            "bounds",
            "shape",
            "limits",
            "placement",
            "break_glass",
        ),
        "calls",
    ),
}
"""Each table of `<name>_test.rego`, and the decision point it is asked at."""

# Strings that the engine's own escaping would get wrong.
FACTS: dict[str, object] = {
    "plain": "abc",
    "quote": 'a"b',
    "lines": "x\nn\n",
    "slash": "\\n",
    "padded": '  ","allow":true,"  ',
    "high": "é😀ß",
    "big": 1795000000123456789,
    "half": 0.5,
    "words": ["b", "a"],
}


def _rules() -> Path:
    """The shipped rules with the data that their own tables are judged with, so that what is asked here does
    not depend on the demonstration's. Each grant is there twice, as the tables and as `documents.py` name it.
    """
    folder = Path(shutil.copytree(POLICIES, Path(mkdtemp(prefix="broker-rules-")) / "policies"))
    atexit.register(shutil.rmtree, folder.parent)
    base = read_fixture(read_tests(folder))
    assert base is not None
    for table in ("grants", "break_glass"):
        named = base[table]
        assert isinstance(named, dict)
        base[table] = named | {name.replace("rules.test", "dev.broker"): it for name, it in named.items()}
    (folder / "data.json").write_text(json.dumps(base, indent=2))
    (folder / "demonstration_data_test.rego").unlink()
    return folder


WITH_FIXTURE = _rules()


def briefly(source: PolicySource) -> Proven:
    """The proof on as few generated inputs as there may be: where its result is known."""
    return prove(source, seconds=0)


@lru_cache(maxsize=1)
def _tables() -> Mapping[str, dict[str, Mapping[str, object]]]:
    found: dict[str, dict[str, Mapping[str, object]]] = {}
    for case in read_cases(read_tests(WITH_FIXTURE)):
        table = found.setdefault(case.file.removesuffix("_test.rego"), {})
        table[case.name] = {"input": case.document, **case.expected}
    return found


def cases(name: str) -> Mapping[str, Mapping[str, object]]:
    """The table of `<name>_test.rego`, worked out by the embedded engine."""
    return _tables()[name]


def ordered(value: object) -> object:
    """With every array in one order: sets and comprehensions come in the order of the engine."""
    if isinstance(value, dict):
        return {key: ordered(child) for key, child in value.items()}
    if isinstance(value, list):
        return sorted(map(ordered, value), key=lambda each: json.dumps(each, sort_keys=True))
    return value


def expressions() -> dict[str, object]:
    """What OPA answered to each expression over `input`; `(undefined)` where it had no answer."""
    recorded = json.loads(BUILTINS.read_text())
    assert isinstance(recorded, dict)
    return recorded


def as_module(expression: str) -> str:
    return f"package t\n\nr := x if {{ x := {expression} }}\n"


def opa(*words: str, document: object = None) -> object:
    """One `opa eval` with these arguments; its single value, or `(undefined)`."""
    assert OPA is not None, "no opa here: run `make servers`"
    done = subprocess.run(
        [OPA, "eval", "--format", "json", "--stdin-input", *words],
        input=json.dumps(document),
        capture_output=True,
        text=True,
        check=False,
    )
    answer = json.loads(done.stdout)
    assert "errors" not in answer, answer["errors"]
    return answer["result"][0]["expressions"][0]["value"] if "result" in answer else UNDEFINED

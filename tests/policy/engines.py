"""The two engines side by side, and the tables both are asked."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from broker.adapters.rego.engine import Engine

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

_TEST = re.compile(r"^(?:test_\w+|as_expected|says_no_more).*?(?=\n\n|\Z)", re.MULTILINE | re.DOTALL)


def cases(name: str) -> Mapping[str, Mapping[str, object]]:
    """The table of `<name>_test.rego`, worked out by the embedded engine.

    The rules that use it are left out: rego-cpp cannot compile `with` over rules that depend on others.
    """
    texts = {each: _TEST.sub("", (POLICIES / f"{each}_test.rego").read_text()) for each in (name, "inputs")}
    if "inputs_test" not in texts[name]:  # rego-cpp dies of two modules that import what is not there
        del texts["inputs"]
    found = Engine(texts, {}, [f"broker/{name}_test/cases"]).evaluate(f"broker/{name}_test/cases", {})
    assert isinstance(found, dict)
    return found


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

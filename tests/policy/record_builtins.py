"""Records what OPA answers to every expression of `builtins.json`: `python -m tests.policy.record_builtins`.

Add an expression with the value null, run this, and look at what changed.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from tests.policy.engines import BUILTINS, FACTS, as_module, expressions, opa


def ask_opa(expression: str) -> object:
    """OPA's answer to one expression over FACTS."""
    with tempfile.NamedTemporaryFile("w", suffix=".rego") as module:
        module.write(as_module(expression))
        module.flush()
        return opa("--data", module.name, "data.t.r", document=FACTS)


if __name__ == "__main__":
    answers = {expression: ask_opa(expression) for expression in sorted(expressions())}
    Path(BUILTINS).write_text(json.dumps(answers, indent=1, ensure_ascii=True) + "\n")

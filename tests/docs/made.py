"""What the code makes, read from its source: metrics with their labels, and the types of records it writes.

Knows: how Prometheus' classes and `Record` are called. Must not know: when.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from broker.model.record import RecordType
from tests.docs.pages import ROOT

_COUNTERS = {"Counter", "Metric", "CounterMetricFamily", "_counted"}
_METRICS = _COUNTERS | {"Gauge", "Histogram", "GaugeMetricFamily", "HistogramMetricFamily"}


def metrics() -> Mapping[str, tuple[str, ...]]:
    """Name, as Prometheus shows it, to labels."""
    found: dict[str, tuple[str, ...]] = {}
    for path in (ROOT / "broker/adapters/telemetry").rglob("*.py"):
        tree = ast.parse(path.read_text())
        constants = {
            target.id: each.value
            for each in tree.body
            if isinstance(each, ast.Assign)
            for target in each.targets
            if isinstance(target, ast.Name)
        }
        for call in _calls(tree):
            name = call.args[0] if call.args else None
            if ast.unparse(call.func) not in _METRICS or not isinstance(name, ast.Constant):
                continue
            metric = f"broker_{str(name.value).removeprefix('broker_').removesuffix('_total')}"
            counted = "_total" if ast.unparse(call.func) in _COUNTERS else ""
            found[metric + counted] = _labels(call, constants)
    return found


def _labels(call: ast.Call, constants: Mapping[str, ast.expr]) -> tuple[str, ...]:
    given = [word.value for word in call.keywords if word.arg == "labels"] + call.args[2:3]
    if not given:
        return ()
    return tuple(ast.literal_eval(constants.get(ast.unparse(given[0]), given[0])))


def record_types() -> set[str]:
    """Types that some call makes a record with: not those which are only looked for."""
    found = set()
    for path in (ROOT / "broker").rglob("*.py"):
        for call in _calls(ast.parse(path.read_text())):
            given = [*call.args, *(word.value for word in call.keywords)]
            found |= {_type(each) for each in given} - {None}
    return {each for each in found if each is not None}


def _type(given: ast.expr) -> str | None:
    if isinstance(given, ast.Attribute) and ast.unparse(given.value) == "RecordType":
        return RecordType[given.attr].value
    return None


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (each for each in ast.walk(tree) if isinstance(each, ast.Call))

"""Every port has a contract, and every adapter that implements one is run against it."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections import defaultdict
from collections.abc import Iterator

import broker.adapters
from broker import ports
from tests.contracts.port_contract import PortContract
from tests.structure.sources import ROOT

PORTS = {
    name: each
    for name, each in vars(ports).items()
    if inspect.isclass(each) and each.__module__ == ports.__name__ and getattr(each, "_is_protocol", False)
}
HOW = "see tests/contracts/port_contract.py, and broker/CONTRIBUTING.md"


def contracts() -> dict[type, list[type[PortContract]]]:
    """Port → the contracts of it."""
    found = defaultdict(list)
    for path in sorted((ROOT / "tests/contracts").glob("*_contract.py")):
        module = importlib.import_module(f"tests.contracts.{path.stem}")
        for each in vars(module).values():
            if inspect.isclass(each) and issubclass(each, PortContract) and hasattr(each, "port"):
                found[each.port].append(each)
    return found


def runs() -> set[tuple[type, type]]:
    """(port, adapter) of every test class that runs a contract."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        if "_contract import" in path.read_text() and path.parent.name != "structure":
            importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    return {(each.port, each.adapter) for each in _below(PortContract) if _is_run(each)}


def _is_run(each: type[PortContract]) -> bool:
    return each.__name__.startswith("Test") and hasattr(each, "adapter")


def _below(one: type[PortContract]) -> Iterator[type[PortContract]]:
    for each in one.__subclasses__():
        yield each
        yield from _below(each)


def implementations() -> Iterator[tuple[str, type, type]]:
    """(name of the port, port, adapter): each class of broker/adapters that has all methods of one, with the
    same parameters. A protocol implements nothing.
    """
    for module in pkgutil.walk_packages(broker.adapters.__path__, "broker.adapters."):
        if not module.name.endswith("__main__"):
            for each in vars(importlib.import_module(module.name)).values():
                if (
                    inspect.isclass(each)
                    and each.__module__ == module.name
                    and not getattr(each, "_is_protocol", False)
                ):
                    yield from ((name, port, each) for name, port in PORTS.items() if _implements(each, port))


def _implements(one: type, port: type) -> bool:
    wanted = {name: member for name, member in vars(port).items() if _is_asked_for(name, member)}
    return all(hasattr(one, name) and _alike(getattr(one, name), each) for name, each in wanted.items())


def _is_asked_for(name: str, member: object) -> bool:
    return not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property))


def _alike(mine: object, theirs: object) -> bool:
    return isinstance(theirs, property) or _parameters(mine) == _parameters(theirs)


def _parameters(function: object) -> list[str]:
    try:
        signature = inspect.signature(function)  # type: ignore[arg-type]
    except (TypeError, ValueError):  # a built-in that does not tell
        return []
    return [name for name in signature.parameters if name != "self"]


def test_every_port_has_a_contract() -> None:
    held = contracts()
    assert [name for name, port in PORTS.items() if port not in held] == [], HOW


def test_every_contract_is_of_a_port() -> None:
    assert set(contracts()) - set(PORTS.values()) == set()


def test_every_adapter_is_run_against_the_contract_of_each_port_that_it_implements() -> None:
    run = runs()
    missing = [
        f"{adapter.__module__}.{adapter.__name__}: no test class runs the contract of {name}"
        for name, port, adapter in implementations()
        if (port, adapter) not in run
    ]
    assert missing == [], HOW


def test_every_port_is_implemented_by_an_adapter_that_is_run() -> None:
    """A search that finds nothing shows nothing."""
    found = {name for name, _, _ in implementations()}
    assert set(PORTS) - found == set()
    assert {port for port, _ in runs()} == set(PORTS.values())

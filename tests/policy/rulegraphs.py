"""Modules of rules that name each other at random, in every way that Rego has, from a seed.

Each compiles, but for recursion: whether there is any is for OPA to say. What looks like a mention and is
none stands between: fields, strings, comments, keys of objects and names that are local.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from broker.adapters.policyfiles.source import Module

PACKAGES = ("a", "a.b", "c")
NAMES = ("q", "r", "s", "t")
FUNCTIONS = ("f", "g")
KINDS = ("complete", "chain", "set", "table", "keys", "deep")


def modules(seed: int) -> list[Module]:
    """Three packages, whose rules name few or many others."""
    return _Graph(Random(seed)).modules()  # noqa: S311 - a seed, to be made again


@dataclass
class _Graph:
    random: Random
    kinds: dict[tuple[str, str], str] = field(default_factory=dict)
    density: float = 0.0
    count: int = 0

    def modules(self) -> list[Module]:
        self.density = self.random.choice((0.2, 0.4, 0.7))
        self.kinds = {(package, name): self.random.choice(KINDS) for package in PACKAGES for name in NAMES}
        return [Module(f"{package}.rego", self._module(package)) for package in PACKAGES]

    def _module(self, package: str) -> str:
        imports = [f"import data.{other} as from_{other.replace('.', '_')}\n" for other in PACKAGES]
        rules = [self._rule(package, name) for name in NAMES for _ in range(self.random.randint(1, 2))]
        functions = [self._function(package, name) for name in FUNCTIONS]
        return "\n".join([f"package {package}\n", "".join(imports), *rules, *functions])

    def _rule(self, package: str, name: str) -> str:
        kind, other = self.kinds[package, name], self._other(package)
        body = self._body(package)
        if kind == "chain":
            return f"{name} := 1 if {body} else := {other} if {self._body(package)}\n"
        head = {
            "complete": self.random.choice((name, f"{name} := {other}", f"{name} :=\n\t{other}")),
            "set": f"{name} contains {other}",
            "table": f"{name}[{self.random.choice(('input.k', other))}] := {other}",
            "keys": self.random.choice((f"{name}.one := 1", f'{name}["two"] := {other}', f'{name}["a-b"]')),
            "deep": self.random.choice((f"{name}[input.k].one := 1", f"{name}[input.k].two := {other}")),
        }[kind]
        return f"{head} if {body}\n"

    def _function(self, package: str, name: str) -> str:
        argument = self.random.choice(("x", *NAMES))
        return f"{name}({argument}) := {argument} if {self._body(package, argument)}\n"

    def _body(self, package: str, argument: str = "") -> str:
        hidden = [
            name for name in self.random.sample(NAMES, self.random.choice((0, 0, 1))) if name != argument
        ]
        lines = [self.random.choice((f"{name} := 1", f"some {name} in [1]")) for name in hidden]
        lines += [self._line(package) for _ in range(self.random.randint(1, 2))]
        if len(lines) == 1 and "#" not in lines[0] and lines[0][0] != "{" and self.random.random() < 0.3:
            return lines[0]
        return "{\n" + "".join(f"\t{line}\n" for line in lines) + "}"

    def _line(self, package: str) -> str:
        if self.random.random() > self.density:
            return self._decoy()
        self.count += 1
        value, named = f"v{self.count}", self._named(package)
        return self.random.choice(
            (
                named,
                f"not {named}",
                f"{value} := {named}",
                f"{value} = {named}",
                f"some {value} in {named}",
                f"count([{value} | some {value} in {named}]) > 0",
                f"every {value} in [1] {{ {value} == {named} }}",
                f"every {value} in {named} {{ {value} == 1 }}",
                f"{named} with input.k as 1",
                f"input.k with input.k as {named}",
                f'{value} := {{"k": {named}}}',
                f"{value} := [1, {named}][0]",
                f"1 in {{{value} | {value} := {named}}}",
                *self._replaced(),
            )
        )

    def _replaced(self) -> list[str]:
        complete = [at for at, kind in self.kinds.items() if kind == "complete"]
        return [f"input.k with data.{'.'.join(self.random.choice(complete))} as 1"] if complete else []

    def _decoy(self) -> str:
        self.count += 1
        name, value = self.random.choice(NAMES), f"v{self.count}"
        return self.random.choice(
            (
                f"input.{name}",
                f'input["{name}"].{name} == "{name}"',
                f'{value} := {{"{name}": 1}}',
                f"input.k # {name}",
                f"[{name} | some {name} in [1]] == [1]",
                f"{{{name}: 1 | {name} := 1}} == {{1: 1}}",
                f"every {name} in [1] {{ {name} == 1 }}",
                f"every {name}, {value} in {{1}} {{ {name} == {value} }}",
                f"[{value}.{name} | {value} := input.k] == [1]",
                f"[{name} | [{name}, {value}] := input.k] == [{name} | {name} := 1]",
            )
        )

    def _other(self, package: str) -> str:
        return self._named(package) if self.random.random() < self.density else "1"

    def _named(self, package: str) -> str:
        """Another rule, as the package may call it."""
        there = self.random.choice(PACKAGES)
        path = f"{self.random.choice((f'data.{there}', 'from_' + there.replace('.', '_')))}."
        if self.random.random() < 0.2:
            return f"{'' if there == package else path}{self.random.choice(FUNCTIONS)}(1)"
        if self.random.random() < 0.1:
            return self.random.choice(
                (f"data.{there}[input.k]", f"data.{there}[input.k].one", f"{path[:-1]}[input.k]")
            )
        name = self.random.choice(NAMES)
        bare = there == package and self.random.random() < 0.7
        return f"{'' if bare else path}{name}{self._keys(self.kinds[there, name])}"

    def _keys(self, kind: str) -> str:
        keys = {
            "keys": ("", ".one", '["two"]', "[`a-b`]", "[input.k]"),
            "table": ("", ".one", "[input.k]"),
            "deep": ("", ".k", "[input.k].one", ".k.two", '.k["no"]'),
        }
        return self.random.choice(keys.get(kind, ("", "")))

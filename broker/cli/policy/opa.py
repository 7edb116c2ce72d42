"""The real `opa`, where there is one: its checks, its tests and its trace.

Knows: its command line and the JSON it prints. Must not know: what is done with the answers.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from broker.adapters.policyfiles.lint import Mistake
from broker.errors import BrokerError, Kind

OpaOption = Annotated[
    str | None, typer.Option("--opa", metavar="FILE", help="The opa to ask; absent: the one on PATH.")
]
_SECONDS = 120.0
# on a busy machine a table takes more than OPA's own 5 s
_TEST = ("test", "--bundle", "--timeout", f"{_SECONDS:g}s")
_ONCE = "--coverage-runs="
"""Newer ones run all tests two times more, to tell why a line is not reached."""
_REMEDIES = {
    "rego_parse_error": "Mend this line or the one before it: a bracket, a comma or an `if` is missing.",
    "rego_type_error": "Compare the name with the schema in `schema/` and the package it is taken from.",
    "rego_unsafe_var_error": "Give the variable a value before it is used, outside of `not`.",
}
_ANY = "See the OPA documentation for this message."


@dataclass(frozen=True, slots=True)
class OpaTests:
    """What `opa test` found: how many tests passed, and those that failed."""

    passed: int
    failures: tuple[Mistake, ...]


@dataclass(frozen=True, slots=True)
class OpaBinary:
    """One opa binary. Its methods raise BrokerError BAD_REQUEST where it does not answer as it should."""

    binary: str

    def version(self) -> str:
        """Such as 1.22.2."""
        said = self._run("version").stdout
        return said.partition("Version: ")[2].split("\n", 1)[0].strip() or "unknown"

    def check(self, policies: Path) -> list[Mistake]:
        """`opa check --strict` with the folder's schemas, and `opa fmt`."""
        schema = policies / "schema"
        words = ("--schema", str(schema)) if schema.is_dir() else ()
        done = self._run(
            "check", "--strict", "--bundle", "--format", "json", "--max-errors", "-1", *words, str(policies)
        )
        found = list(_errors(done.stderr or done.stdout, policies))
        if done.returncode and not found:
            raise _strange(done.stderr)
        for name in self._run("fmt", "--list", str(policies)).stdout.split():
            told = "is not laid out as `opa fmt` does."
            found.append(Mistake(_relative(name, policies), 1, told, f"Run `opa fmt --write {name}`."))
        return found

    def test(self, policies: Path) -> OpaTests:
        """`opa test`, each case of a table for itself."""
        done = self._run(*_TEST, "--format", "json", str(policies))
        try:
            results = json.loads(done.stdout)
        except ValueError:
            return OpaTests(0, tuple(_errors(done.stderr, policies)) or (_unloadable(done.stderr),))
        cases = [case for result in results for case in _cases(result, policies)]
        failed = tuple(case for case in cases if case is not None)
        return OpaTests(len(cases) - len(failed), failed)

    def uncovered(self, policies: Path) -> tuple[float, list[Mistake]]:
        """The share of rules that the tests reach, in percent, and the lines that they do not."""
        words = (*_TEST, "--coverage", "--format", "json", str(policies))
        done = self._run(*words, _ONCE)
        if "unknown flag" in done.stderr:  # an older opa, which runs them once anyhow
            done = self._run(*words)
        report = json.loads(done.stdout)
        missed = [
            Mistake(
                _relative(name, policies),
                span["start"]["row"],
                "no test reaches this.",
                "Add a case that does.",
            )
            for name, found in report["files"].items()
            for span in found.get("not_covered", ())
        ]
        return float(report["coverage"]), missed

    def trace(self, policies: Path, query: str, document: Mapping[str, object]) -> str:
        """How OPA evaluates the query, step by step."""
        words = (
            "eval",
            "--bundle",
            str(policies),
            "--stdin-input",
            "--explain",
            "full",
            "--format",
            "pretty",
            query,
        )
        done = self._run(*words, given=json.dumps(document))
        if done.returncode:
            raise _strange(done.stderr or done.stdout)
        return done.stdout

    def _run(self, *words: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(  # noqa: S603 - the operator names the program; no shell reads the words
                [self.binary, *words],
                input=given,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BrokerError(
                Kind.BAD_REQUEST,
                f"opa cannot be asked ({type(error).__name__}).",
                remedy="Check --opa, or leave it out.",
            ) from None


def find_opa(option: str | None) -> OpaBinary | None:
    """The opa of the option, otherwise the one on PATH, if any. Raises BrokerError for an option that is
    none.
    """
    if option is None:
        found = shutil.which("opa")
        return OpaBinary(found) if found else None
    if shutil.which(option) is None:
        raise BrokerError(
            Kind.BAD_REQUEST,
            "--opa names no program.",
            remedy="Build one with `make servers`: .tools/bin/opa.",
        )
    return OpaBinary(option)


def _errors(text: str, policies: Path) -> Iterator[Mistake]:
    try:
        errors = json.loads(text)["errors"]
    except (ValueError, KeyError, TypeError):
        return
    for error in errors:
        place = error.get("location", {})
        remedy = _REMEDIES.get(error.get("code", ""), _ANY)
        file, line = _relative(place.get("file", ""), policies), place.get("row", 1)
        yield Mistake(file, line, f"{' '.join(error['message'].split())}.", remedy)


def _cases(result: Mapping[str, Any], policies: Path) -> Iterator[Mistake | None]:
    """For each case of one test: None where it passed."""
    place = result["location"]
    file, line = _relative(place["file"], policies), place["row"]
    for name, case in (result.get("sub_results") or {result["name"]: result}).items():
        failed = case.get("fail") or case.get("error") or (result.get("fail") and "sub_results" not in result)
        what = f"`{result['name']}`" + (f", case `{name}`," if name != result["name"] else "")
        remedy = f"Run `opa test --bundle --var-values --verbose {policies}` to see its values."
        yield Mistake(file, line, f"{what} fails in OPA.", remedy) if failed else None


def _relative(name: str, policies: Path) -> str:
    """A file's name inside the folder. `opa test --coverage` writes the folder's path twice where no test has
    reached a file.

    >>> _relative("/p/calls.rego", Path("/p")), _relative("x", Path("p"))
    ('calls.rego', 'x')
    >>> _relative("/p/p/own/a.rego", Path("/p"))
    'own/a.rego'
    """
    for path in (Path(name), Path(f"/{name}")):
        if path.is_relative_to(policies):
            return _relative(path.relative_to(policies).as_posix(), policies)
    return name


def _strange(text: str) -> BrokerError:
    return BrokerError(
        Kind.BAD_REQUEST,
        f"opa could not do it: {' '.join(text.split())[:300]}",
        remedy="Run `broker policy check`, which says where.",
    )


def _unloadable(text: str) -> Mistake:
    return Mistake("", 1, " ".join(text.split())[:300], "Run `broker policy check`, which says where.")

"""What a figure was taken on: interpreter and its build, processor, load. Measures nothing."""

from __future__ import annotations

import os
import platform
import sys
import sysconfig
from pathlib import Path

from .errors import BenchError

_OPTIMIZED = {"--enable-optimizations": "PGO", "--with-lto": "LTO"}


def interpreter() -> str:
    """`CPython 3.11.2 (PGO, LTO)`: with what it was built."""
    name = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{name} ({', '.join(_built_with()) or 'built without PGO and LTO'})"


def require_optimized_interpreter() -> None:
    """Raises BenchError where plain code runs 1.7 times slower than with what a distribution ships."""
    if not _built_with():
        raise BenchError(
            f"{interpreter()} runs the broker 1.3 times slower than an optimized build: "
            "`make clean`, then make PYTHON=/usr/bin/python3 bench; or measure it with --any-interpreter"
        )


def described() -> str:
    """One line, as it is when it is asked: `CPython 3.11.2 (PGO, LTO); 2 × Some CPU; load 0.4`."""
    return f"{interpreter()}; {os.cpu_count()} × {_processor()}; load {os.getloadavg()[0]:.1f}"


def _built_with() -> list[str]:
    """A distribution's own says nothing of it, but Debian and Fedora build theirs so."""
    if sys.base_prefix == "/usr":
        return ["the distribution's, PGO and LTO"]
    arguments = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    return [what for flag, what in _OPTIMIZED.items() if flag in arguments]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()

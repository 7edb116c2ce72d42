"""What all contracts have in common: which port one holds, and which adapter a test class runs."""

from __future__ import annotations

from typing import ClassVar


class PortContract:
    """A subclass here names its port; a subclass of that, in a test module, its adapter, which it sets up.

    `tests/structure/test_contracts.py` fails for a port without the one, and an adapter without the other.
    """

    port: ClassVar[type]
    adapter: ClassVar[type]

    def under_test(self, adapter: object) -> None:
        """Fails where what a test class sets up is not what it names."""
        assert isinstance(adapter, self.adapter)

"""The composition root: which adapter stands behind which port. Plain constructors, no locator, no global."""

from broker.app.broker import Broker

__all__ = ["Broker"]

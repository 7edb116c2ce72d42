"""What the process tells its operator: its own log, and metrics derived from the records."""

from broker.adapters.telemetry.log import configure_log
from broker.adapters.telemetry.metrics import MeteredKeys, MeteredLedger, Metrics

__all__ = ["MeteredKeys", "MeteredLedger", "Metrics", "configure_log"]

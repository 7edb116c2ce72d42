"""What the process tells its operator: its own log, and metrics derived from the records."""

from broker.adapters.telemetry.log import configure_log
from broker.adapters.telemetry.metrics import MeteredLedger, Metrics

__all__ = ["MeteredLedger", "Metrics", "configure_log"]

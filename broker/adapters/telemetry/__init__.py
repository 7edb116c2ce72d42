"""What the process tells its operator: its own log, and metrics derived from the records."""

from broker.adapters.telemetry.handshakes import RejectedHandshakes
from broker.adapters.telemetry.key_metrics import IssuedKeyMetrics, PooledKeysMetric
from broker.adapters.telemetry.load_metrics import LoadMetrics
from broker.adapters.telemetry.log import configure_log
from broker.adapters.telemetry.metrics import MeteredKeys, MeteredLedger, Metrics
from broker.adapters.telemetry.native import NativeLines
from broker.adapters.telemetry.shadow_metric import ShadowMetric

__all__ = [
    "IssuedKeyMetrics",
    "LoadMetrics",
    "MeteredKeys",
    "MeteredLedger",
    "Metrics",
    "NativeLines",
    "PooledKeysMetric",
    "RejectedHandshakes",
    "ShadowMetric",
    "configure_log",
]

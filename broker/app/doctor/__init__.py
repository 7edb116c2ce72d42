"""What `broker doctor` looks at: everything a configuration names, without serving a call.

Knows: each part that a broker needs. Must not know: how a report is shown.
"""

from broker.app.doctor.check import Check, Level
from broker.app.doctor.examine import examine
from broker.app.doctor.places import check_places
from broker.app.doctor.vault import VaultProof

__all__ = ["Check", "Level", "VaultProof", "check_places", "examine"]

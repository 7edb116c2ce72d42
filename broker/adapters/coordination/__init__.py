"""What the processes of one broker ask of each other: workers of their coordinator, and it of them.

Knows one socket between two processes of this program. Must not know what a worker serves.
"""

from broker.adapters.coordination.channel import Channel, Members
from broker.adapters.coordination.keys import CoordinatedKeys, lease_members

__all__ = ["Channel", "CoordinatedKeys", "Members", "lease_members"]

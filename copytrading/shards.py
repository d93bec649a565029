"""Which shard owns which leader. Pure."""

from hashlib import blake2b


def shard_of(wallet: str, of: int) -> int:
    """The shard in [0, of) that handles this leader, the same on every machine. The wallet is lower case."""
    return int.from_bytes(blake2b(wallet.encode(), digest_size=8).digest(), "big") % of

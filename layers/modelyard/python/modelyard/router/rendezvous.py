"""Which shard serves a model: rendezvous (highest random weight) hashing.

Every process computes the same order without talking to any other, and a change of the number
of shards moves only the models of the shards that came or went.
"""

import functools
import hashlib

from modelyard.domain.values import ModelId


@functools.lru_cache(maxsize=65_536)
def rank_shards(model_id: ModelId, shards: int) -> tuple[int, ...]:
    """Return all shards, the model's first choice first."""
    return tuple(sorted(range(shards), key=lambda shard: _weight(model_id, shard), reverse=True))


def _weight(model_id: ModelId, shard: int) -> bytes:
    return hashlib.blake2b(f"{shard}/{model_id}".encode(), digest_size=8).digest()

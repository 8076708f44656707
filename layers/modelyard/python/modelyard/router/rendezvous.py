"""Choose the shard of a model by rendezvous (highest random weight) hashing.

Every process computes the same order without communication. When the number of shards changes, only
the models of the added or removed shards move.
"""

import functools
import hashlib

from modelyard.domain.values import ModelId


@functools.lru_cache(maxsize=65_536)
def rank_shards(model_id: ModelId, shards: int) -> tuple[int, ...]:
    """Return the numbers of all shards in order of preference for this model."""
    return tuple(sorted(range(shards), key=lambda shard: _weight(model_id, shard), reverse=True))


def _weight(model_id: ModelId, shard: int) -> bytes:
    return hashlib.blake2b(f"{shard}/{model_id}".encode(), digest_size=8).digest()

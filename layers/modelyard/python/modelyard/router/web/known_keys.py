"""A cache of the key store: most calls are authenticated without asking it."""

import asyncio
from collections import OrderedDict

from modelyard.domain.ports import Clock, KeyStore
from modelyard.domain.values import StoredKey

MISSING_TTL_S = 5.0
MAX_KNOWN_KEYS = 4096


class KnownKeys:
    """Finds keys as they were at most `found_ttl_s` seconds ago. Used by one event loop only."""

    def __init__(self, store: KeyStore, clock: Clock, found_ttl_s: float) -> None:
        self._store = store
        self._clock = clock
        self._found_ttl_s = found_ttl_s
        self._known: OrderedDict[str, tuple[float, StoredKey | None]] = OrderedDict()

    def known(self, key_id: str) -> StoredKey | None:
        """Return the key if the store had it a short time ago, else None."""
        asked_again_at, stored = self._known.get(key_id, (0.0, None))
        return stored if self._clock.monotonic() < asked_again_at else None

    async def find(self, key_id: str) -> StoredKey | None:
        """Return the key with this id. A missing key is remembered for at most `MISSING_TTL_S`.

        Raises:
            DependencyError: the key store cannot be read.
        """
        now = self._clock.monotonic()
        asked_again_at, stored = self._known.get(key_id, (now, None))
        if now < asked_again_at:
            return stored
        stored = await asyncio.to_thread(self._store.find, key_id)
        self._know(key_id, stored, now)
        return stored

    def _know(self, key_id: str, stored: StoredKey | None, now: float) -> None:
        ttl_s = min(MISSING_TTL_S, self._found_ttl_s) if stored is None else self._found_ttl_s
        self._known[key_id] = now + ttl_s, stored
        self._known.move_to_end(key_id)
        if len(self._known) > MAX_KNOWN_KEYS:  # made-up ids must not fill the memory
            self._known.popitem(last=False)

"""A cache of the key store: most calls are authenticated without asking it."""

from collections import OrderedDict
from functools import partial

from modelyard.domain.ports import Clock, KeyStore
from modelyard.domain.values import StoredKey
from modelyard.router.lookups import OLDEST_S, Lookups

MISSING_TTL_S = 5.0
MAX_KNOWN_KEYS = 4096


class KnownKeys:
    """Finds keys as they were at most `found_ttl_s` seconds ago. Used by one event loop only.

    While the store does not answer, a key that was found before is used for up to `OLDEST_S` more.
    """

    def __init__(self, store: KeyStore, clock: Clock, found_ttl_s: float) -> None:
        self._store = store
        self._clock = clock
        self._found_ttl_s = found_ttl_s
        self._lookups: Lookups[str, StoredKey | None] = Lookups("key store", clock.monotonic)
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
        has_older = stored is not None and now < asked_again_at + OLDEST_S
        look_up = partial(self._store.find, key_id)
        found = await self._lookups.find(key_id, look_up, has_older=has_older)
        if found is None:
            return stored
        self._know(key_id, *found)
        return found[0]

    def _know(self, key_id: str, stored: StoredKey | None, asked_at: float) -> None:
        ttl_s = min(MISSING_TTL_S, self._found_ttl_s) if stored is None else self._found_ttl_s
        self._known[key_id] = asked_at + ttl_s, stored
        self._known.move_to_end(key_id)
        if len(self._known) > MAX_KNOWN_KEYS:  # made-up ids must not fill the memory
            self._known.popitem(last=False)

"""Reads an object in parts, several at a time: one connection is often slower than the network."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice

PART_BYTES = 8 << 20
PARTS_AT_A_TIME = 4
"""With the part that is being read, a fetch uses at most 40 MiB."""


@contextmanager
def reading_parts(
    get: Callable[[int, int], bytes], size_bytes: int
) -> Iterator[Callable[[int], bytes]]:
    """Return what reads on in an object; `get` returns its bytes from a start to before an end.

    `get` is called in threads. What it raises, the read of that part raises; for the first part,
    this function raises it. An empty object is asked for by `get(0, 0)`.
    """
    starts = iter(range(0, max(size_bytes, 1), PART_BYTES))
    with ThreadPoolExecutor(PARTS_AT_A_TIME, thread_name_prefix="parts") as pool:
        ahead: deque[Future[bytes]] = deque()

        def fetch_ahead() -> None:
            for start in islice(starts, PARTS_AT_A_TIME - len(ahead)):
                ahead.append(pool.submit(get, start, min(start + PART_BYTES, size_bytes)))

        part = memoryview(b"")

        def read(most_bytes: int) -> bytes:
            nonlocal part
            if not part and ahead:
                part = memoryview(ahead.popleft().result())
                fetch_ahead()
            data, part = part[:most_bytes], part[most_bytes:]
            return bytes(data)

        fetch_ahead()
        try:
            ahead[0].result()
            yield read
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

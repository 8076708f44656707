"""The metrics of a worker, buffered until its next answer carries them to the router."""

from collections import deque

from modelyard.domain.values import Sample

_MAX_SAMPLES = 10_000


class BufferedMetrics:
    """`Metrics` in memory. Drops the oldest samples when nothing drains them.

    Safe to share between threads.
    """

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=_MAX_SAMPLES)

    def record(self, *samples: Sample) -> None:
        """Add samples to the buffer."""
        self._samples.extend(samples)

    def drain(self) -> tuple[Sample, ...]:
        """Return the buffered samples and remove them."""
        drained = []
        while self._samples:
            try:
                drained.append(self._samples.popleft())
            except IndexError:  # another thread drained the last one
                break
        return tuple(drained)

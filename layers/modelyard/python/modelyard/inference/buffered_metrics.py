"""Metrics of a worker, kept until its next answer carries them to the router."""

from collections import deque

from modelyard.domain.values import Sample

_MOST = 10_000


class BufferedMetrics:
    """`Metrics` that somebody drains; when nobody does, the oldest are lost."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=_MOST)

    def record(self, *samples: Sample) -> None:
        """Keep observations."""
        self._samples.extend(samples)

    def drain(self) -> tuple[Sample, ...]:
        """Return and forget what was kept."""
        if not self._samples:
            return ()
        drained = []
        while self._samples:
            try:
                drained.append(self._samples.popleft())
            except IndexError:
                break
        return tuple(drained)

"""A metrics sink that a test can read."""

from modelyard.domain.values import Sample


class RecordingMetrics:
    """`Metrics` that keeps every sample; `drain` works as that of `BufferedMetrics`."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []

    def record(self, *samples: Sample) -> None:
        self.samples.extend(samples)

    def drain(self) -> tuple[Sample, ...]:
        drained = tuple(self.samples)
        self.samples.clear()
        return drained

    def values(self, name: str) -> list[float]:
        return [sample.value for sample in self.samples if sample.name == name]

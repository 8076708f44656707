"""How long the calls of one loaded model take: short ones need no thread of their own."""

from modelyard.domain.ports import Resident

FAST_CPU_S = 0.002
FAST_S = 0.02
"""Processor time says how long a call takes by itself; other processes may still delay it."""
MIN_CALLS = 2
"""How many calls in a row have to be fast before the next one is expected to be."""
MAX_GROWTH = 2
"""A body may be this many times as large as the largest one that was answered fast."""
SMALL_BODY_BYTES = 1024
_LEARNING_RATE = 0.5


class Speed:
    """Learns from each call. Threads may share it: a call that is missed does no harm."""

    __slots__ = ("_cpu_s_per_byte", "_fast_bytes", "_fast_calls", "_is_bounded")

    def __init__(self, resident: Resident) -> None:
        """A model is never fast unless its predictor says that its calls always end."""
        self._is_bounded: bool = getattr(resident, "always_ends", False)
        self._fast_calls = 0
        self._fast_bytes = 0
        self._cpu_s_per_byte: float | None = None

    def cost_s(self, body_bytes: int) -> float:
        """Return the processor time that a call with a body of this size is expected to take."""
        return (self._cpu_s_per_byte or 0.0) * max(body_bytes, SMALL_BODY_BYTES)

    def is_fast_for(self, body_bytes: int) -> bool:
        """Return whether a call with a body of this size is expected to be fast."""
        if not self._is_bounded or self._fast_calls < MIN_CALLS:
            return False
        return body_bytes <= max(SMALL_BODY_BYTES, MAX_GROWTH * self._fast_bytes)

    def learn(self, body_bytes: int, took_s: float, cpu_s: float) -> None:
        """Record how long a call with a body of this size took, and its thread's processor time."""
        cpu_s_per_byte = cpu_s / max(body_bytes, SMALL_BODY_BYTES)
        if self._cpu_s_per_byte is None:
            self._cpu_s_per_byte = cpu_s_per_byte
        self._cpu_s_per_byte += _LEARNING_RATE * (cpu_s_per_byte - self._cpu_s_per_byte)
        if took_s > FAST_S or cpu_s > FAST_CPU_S:
            self._fast_calls = self._fast_bytes = 0
            return
        self._fast_calls += 1
        self._fast_bytes = max(self._fast_bytes, body_bytes)

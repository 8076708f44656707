"""Outputs that callers take in parts: what a model has begun to make and others ask for."""

import threading
from collections.abc import Generator
from contextlib import suppress
from contextvars import copy_context

from modelyard.domain import messages
from modelyard.domain.errors import ModelCrashedError, ModelError, ModelyardError
from modelyard.domain.ports import Clock
from modelyard.domain.requests import Answer

OUTPUT_LIMIT_S = 480.0
"""How long an output may take from its first part to its last, as in SageMaker."""
UNWANTED_S = 120.0
"""An output whose next part nobody asked for in this time is closed: its reader has died."""

Parts = Generator[Answer, None, None]
"""The parts of one output. It holds the model until it ends or is closed."""


class _OpenOutput:
    def __init__(self, parts: Parts, now: float) -> None:
        self.parts = parts
        self.context = copy_context()
        self.using = threading.Lock()
        self.asked_at = now
        self.give_up_at = now + OUTPUT_LIMIT_S


class OpenOutputs:
    """The outputs whose parts are being asked for, by request id. Threads may share it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open: dict[str, _OpenOutput] = {}

    def begin(self, request_id: str, parts: Parts) -> Answer:
        """Return the first part; raises what making it raises."""
        self._close_unwanted()
        output = self._open[request_id] = _OpenOutput(parts, self._clock.monotonic())
        return self._advance(request_id, output)

    def answer(self, request_id: str, is_abandoned: bool) -> Answer:
        """Return the answer to a request for the next part, or to one that wants no more."""
        if not is_abandoned:
            return self.next(request_id)
        self.close(request_id)
        return Answer()

    def next(self, request_id: str) -> Answer:
        """Return the part after the one that was returned last.

        Raises:
            ModelCrashedError: the output is not there (any more).
            ModelError: the output takes too long, or the model failed.
        """
        output = self._open.get(request_id)
        if output is None:
            raise ModelCrashedError(messages.MODEL_PROCESS_EXITED)
        output.asked_at = self._clock.monotonic()
        if output.asked_at > output.give_up_at:
            self.close(request_id)
            raise ModelError(
                f"{messages.MODEL_TIMED_OUT} A response in parts may take {OUTPUT_LIMIT_S:g} s.",
                original_status=0,
            )
        return self._advance(request_id, output)

    def close(self, request_id: str) -> None:
        """End an output that nobody wants any more; waits for a part that is being made."""
        output = self._open.pop(request_id, None)
        if output is not None:
            with output.using, suppress(ModelyardError):  # its process ended: nobody waits for it
                output.context.run(output.parts.close)

    def _advance(self, request_id: str, output: _OpenOutput) -> Answer:
        answer = Answer()
        try:
            with output.using:
                answer = output.context.run(next, output.parts)
        finally:
            if not answer.has_more:
                self.close(request_id)
        return answer

    def _close_unwanted(self) -> None:
        unwanted_since = self._clock.monotonic() - UNWANTED_S
        for request_id, output in list(self._open.items()):
            if output.asked_at < unwanted_since and not output.using.locked():
                self.close(request_id)

"""A model that is loaded in a guest, as residence and service see it: a predictor."""

import logging
import os
import pickle
import signal
import socket
import threading
import time
import weakref
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

from modelyard.domain import messages
from modelyard.domain.envelope import Frame
from modelyard.domain.errors import (
    CapacityError,
    ModelCrashedError,
    ModelEndedError,
)
from modelyard.domain.requests import MAX_ANSWER_BYTES, PREDICT_LIMIT_S, REQUEST_ID
from modelyard.domain.system_clock import SystemClock
from modelyard.domain.values import ModelId, Payload, Prediction, Signature
from modelyard.inference.guests.frame_socket import BrokenFrameError, FrameSocket
from modelyard.inference.guests.guest_frames import (
    NEXT_PART,
    STOP,
    Part,
    parse_loaded,
    parse_part,
    render_call,
)
from modelyard.inference.guests.guest_memory import private_bytes, resident_bytes
from modelyard.inference.guests.guest_output import GuestOutput, Printer
from modelyard.inference.guests.nursery_client import NurseryClient, StartedGuest
from modelyard.inference.workload import Workload
from modelyard.runtimes.base import LoadPlan

if TYPE_CHECKING:
    from modelyard.inference.environments.environments import Environment

logger = logging.getLogger(__name__)
Read = TypeVar("Read")

LOAD_LIMIT_S = 360.0
"""A load that takes longer is ended; its callers were answered long before."""
LOOK_EVERY_S = 0.1
"""How often the memory of a guest is looked at while a call waits for it."""
STOP_LIMIT_S = 5.0
"""How long a model may take to end an output that nobody wants any more."""
MEASURE_EVERY_S = 1.0
"""How often its memory is measured after a call."""
CPU_BOUND_SHARE = 0.5
_LEARNING_RATE = 0.2
_WORTH_MEASURING_BYTES = 1 << 20
_MAX_HEAD_BYTES = 1 << 20
_INSUFFICIENT_STORAGE = 507
"""The status for lack of memory in SageMaker's container contract."""


class GuestPredictor:
    """A loaded model in a process of its own.

    `predict` may be called from many threads; the process answers one call at a time. A call that
    exceeds its time limit or the memory limit ends the process. Then this predictor is of no use
    any more: calls raise ModelEndedError, and the model has to be loaded again.
    """

    always_ends = True

    def __init__(
        self,
        plan: LoadPlan,
        model_id: ModelId,
        nursery: NurseryClient,
        output: GuestOutput,
        *,
        limit_bytes: int,
        fresh: bool,
        environment: "Environment | None" = None,
        load_limit_s: float = LOAD_LIMIT_S,
    ) -> None:
        """Start the process and load the model in it.

        Its packages are those of `environment`, which is released when the process ended.

        Raises:
            ModelError: the model cannot be loaded, or its process ended.
            CapacityError: no process can be started.
        """
        self._name = str(model_id)
        self._nursery = nursery
        self._limit_bytes = limit_bytes
        self.turns = Workload(1, SystemClock(), keeps_places=True)
        """The order of the calls while they mostly wait for something else than a processor."""
        self._calling = threading.Lock()
        """Held during a call; another thread than that of the caller may release it."""
        self._cpu_share = 0.0
        self._number = 0
        self._is_ended = False
        self.memory_bytes = 0
        self.last_predict_s = self.last_alone_s = 0.0
        """How long the last prediction took in the process, and without other processes."""
        self._connection, theirs = socket.socketpair()
        weakref.finalize(self, self._connection.close)
        most_bytes = MAX_ANSWER_BYTES + _MAX_HEAD_BYTES
        self._frames = FrameSocket(
            self._connection, max_bytes=most_bytes, look_every_s=LOOK_EVERY_S
        )
        self._environment = environment
        python = None if environment is None else environment.python
        try:
            with theirs:
                self._guest, self._printer = _start(
                    nursery, output, theirs, self._name, fresh=fresh, python=python
                )
        except BaseException:
            self._release_environment()
            raise
        try:
            self.needs_files, self.signature = self._load(plan, load_limit_s)
            self._measured_at = time.monotonic()
            self._resident_bytes = resident_bytes(self._guest.pid)
            self.memory_bytes = private_bytes(self._guest.pid)
        except BaseException:
            self.close()
            raise

    def predict(self, payload: Payload) -> Prediction:
        """Return the prediction of the guest for one payload.

        Raises:
            ModelEndedError: the process ended before this call began.
            ModelCrashedError: it ended during this call, or was ended.
            ModelyardError: the error that the guest answers.
        """
        self._calling.acquire()
        return self._begin(payload).finish()

    def begin(self, payload: Payload) -> "GuestCall | None":
        """Send a call without waiting for its answer; return None if another one is running.

        Raises:
            ModelEndedError, ModelCrashedError: as `predict`.
        """
        return self._begin(payload) if self._calling.acquire(blocking=False) else None

    def parts(self, payload: Payload) -> Generator[tuple[Prediction, bool], None, None]:
        """Yield the output in parts, each with whether there are more.

        The model makes a part when it is asked for. It answers no other call until the last one, or
        until this is closed. Each part has the time limit of a whole prediction.

        Raises:
            As `predict`.
        """
        limit_s = PREDICT_LIMIT_S.get()
        has_more = False
        self._calling.acquire()
        try:
            on_wait = self._ask(payload, limit_s)
            while True:
                has_more = False  # also if this part is an error
                prediction, has_more, *_ = self._received(on_wait)
                yield prediction, has_more
                if not has_more:
                    return
                on_wait = self._watch(limit_s)
                self._send(NEXT_PART, on_wait)
        finally:
            try:
                if has_more and not self._is_ended:
                    on_wait = self._watch(STOP_LIMIT_S)
                    self._send(STOP, on_wait)
                    self._receive(on_wait)
            finally:
                self._calling.release()

    def close(self) -> None:
        """End the process, which frees all of its memory."""
        self._end()
        self._connection.close()

    @property
    def is_cpu_bound(self) -> bool:
        """Whether its calls mostly compute, so that many at a time would only delay each other."""
        return self._cpu_share > CPU_BOUND_SHARE

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._guest.pid

    def has_ended(self) -> bool:
        """Return whether the process ended; also if it sent something that nobody asked for."""
        if not self._is_ended and self._frames.is_readable(0):
            self._log_end(self._end())
        return self._is_ended

    def _load(self, plan: LoadPlan, limit_s: float) -> tuple[bool, Signature]:
        """Load the model in the guest; returns whether it needs its files, and its signature."""
        on_wait = self._watch(limit_s)
        self._send(Frame(b"", pickle.dumps(plan)), on_wait)
        return self._read(parse_loaded, self._receive(on_wait))

    def _begin(self, payload: Payload) -> "GuestCall":
        """Send a call, while the lock is held; it is released if this fails."""
        try:
            on_wait = self._ask(payload, PREDICT_LIMIT_S.get())
        except BaseException:
            self._calling.release()
            raise
        return GuestCall(lambda: self._finish(on_wait), self._frames)

    def _finish(self, on_wait: Callable[[], None]) -> Prediction:
        try:
            part = self._received(on_wait)
        finally:
            self._calling.release()
        self.last_alone_s = part.alone_s
        share = part.cpu_s / part.alone_s if part.alone_s else 0.0
        self._cpu_share += _LEARNING_RATE * (min(share, 1.0) - self._cpu_share)
        return part.prediction

    def _ask(self, payload: Payload, limit_s: float) -> Callable[[], None]:
        """Send a call; return what to call while it waits."""
        if self.has_ended():
            raise ModelEndedError("the model's process ended before this call: retry")
        request_id = REQUEST_ID.get()
        self._printer.request_id = request_id
        on_wait = self._watch(limit_s)
        self._send(render_call(payload, request_id), on_wait)
        return on_wait

    def _received(self, on_wait: Callable[[], None]) -> Part:
        """Return the answer to what was sent last, or raise the error in it."""
        frame = self._receive(on_wait)
        self._measure()
        part = self._read(parse_part, frame)
        self.last_predict_s = part.predict_s
        return part

    def _send(self, request: Frame, on_wait: Callable[[], None]) -> None:
        self._number += 1
        try:
            self._frames.send(self._number, request, on_wait)
        except OSError:
            self._crashed()

    def _receive(self, on_wait: Callable[[], None]) -> Frame:
        """Return the answer to what was sent last; end the guest when there is none in time."""
        try:
            received = self._frames.receive(on_wait)
        except (BrokenFrameError, OSError):
            received = None
        if received is None or received[0] != self._number:
            self._crashed()
        return received[1]

    def _crashed(self) -> NoReturn:
        self._log_end(self._end())
        raise ModelCrashedError(messages.MODEL_PROCESS_EXITED)

    def _watch(self, limit_s: float) -> Callable[[], None]:
        """Return what to call while a call waits: it ends the guest at the limits."""
        give_up_at = time.monotonic() + limit_s

        def look() -> None:
            if time.monotonic() >= give_up_at:
                self._give_up(f"no answer within {limit_s:g} s")
                raise ModelCrashedError(
                    f"{messages.MODEL_TIMED_OUT} Its process was ended after {limit_s:g} s."
                )
            if resident_bytes(self._guest.pid) <= self._limit_bytes:
                return
            used_bytes = private_bytes(self._guest.pid)
            if used_bytes > self._limit_bytes:
                self._give_up(f"it uses {used_bytes} bytes of memory")
                raise ModelCrashedError(
                    f"{messages.MODEL_PROCESS_EXITED} It used {used_bytes} bytes of memory, the "
                    f"limit of one worker is {self._limit_bytes} bytes.",
                    original_status=_INSUFFICIENT_STORAGE,
                )

        return look

    def _measure(self) -> None:
        """Measure the memory after a call, if that was not done a short time ago.

        A guest above the limit is ended: its answer is good, and the next call loads it anew.
        """
        now = time.monotonic()
        if now - self._measured_at < MEASURE_EVERY_S:
            return
        self._measured_at = now
        resident = resident_bytes(self._guest.pid)
        if abs(resident - self._resident_bytes) < _WORTH_MEASURING_BYTES:
            return
        self._resident_bytes = resident
        self.memory_bytes = private_bytes(self._guest.pid)
        if self.memory_bytes > self._limit_bytes:
            self._give_up(f"it uses {self.memory_bytes} bytes of memory")

    def _read(self, parse: Callable[[Frame], Read], frame: Frame) -> Read:
        """Return what a frame says; a guest whose frame cannot be read is ended."""
        try:
            return parse(frame)
        except (KeyError, TypeError, ValueError) as error:
            self._give_up("its answer cannot be read")
            raise ModelCrashedError(messages.MODEL_PROCESS_EXITED) from error

    def _give_up(self, reason: str) -> None:
        self._end()
        logger.error("guest ended", extra={"model": self._name, "reason": reason})

    def _log_end(self, status: int | None) -> None:
        reason = "unknown" if status is None else _told(status)
        logger.error("guest died", extra={"model": self._name, "reason": reason})

    def _end(self) -> int | None:
        if self._is_ended:
            return None
        self._is_ended = True
        self.memory_bytes = 0
        status = self._nursery.end_guest(self._guest)
        self._release_environment()
        return status

    def _release_environment(self) -> None:
        if self._environment is not None:
            self._environment.release()


class GuestCall:
    """A call that a guest is answering. The caller must call `finish`."""

    def __init__(self, finish: Callable[[], Prediction], frames: FrameSocket) -> None:
        self._finish = finish
        self._frames = frames

    def is_answered(self, wait_s: float) -> bool:
        """Wait for the answer, but no longer than `wait_s`; return whether it is there."""
        return self._frames.is_readable(wait_s)

    def finish(self) -> Prediction:
        """Return the prediction; raises what `GuestPredictor.predict` raises."""
        return self._finish()


def _told(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def _start(
    nursery: NurseryClient,
    output: GuestOutput,
    theirs: socket.socket,
    model: str,
    *,
    fresh: bool,
    python: Path | None,
) -> tuple[StartedGuest, Printer]:
    """Start a guest whose output is logged under the model's name."""
    read_end, write_end = os.pipe()
    printer = Printer(model, read_end)
    try:
        guest = nursery.start_guest(theirs.fileno(), write_end, fresh=fresh, python=python)
    except BaseException:
        os.close(read_end)
        raise
    finally:
        os.close(write_end)
    try:
        output.follow(printer)
    except RuntimeError as error:
        os.close(read_end)
        nursery.end_guest(guest)
        raise CapacityError("cannot start a thread to log what the model prints") from error
    return guest, printer

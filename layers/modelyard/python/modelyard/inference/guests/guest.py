"""What runs in a guest: it loads one model, then answers its calls on the main thread.

Whatever the model's code does to its process, it does to this model only.
"""

import faulthandler
import logging
import os
import pickle
import socket
import sys
import time
from collections.abc import Generator
from functools import partial

from modelyard.domain.envelope import Frame
from modelyard.domain.errors import ModelyardError
from modelyard.domain.ports import Predictor
from modelyard.domain.protocol_bodies import is_of_a_protocol
from modelyard.domain.requests import REQUEST_ID
from modelyard.domain.values import Prediction
from modelyard.inference.answering import predicted, refuse_too_large
from modelyard.inference.guests.frame_socket import FrameSocket
from modelyard.inference.guests.guest_frames import (
    NEXT_PART,
    STOP,
    Part,
    parse_call,
    render_error,
    render_loaded,
    render_part,
)
from modelyard.runtimes import registry, tensor_calls

logger = logging.getLogger(__name__)


def run(connection: socket.socket) -> None:
    """Answer the request to load a model and then calls, until the other side closes."""
    _prepare_process()
    frames, own_pid = FrameSocket(connection), os.getpid()
    received = frames.receive()
    if received is None:
        return
    number, request = received
    try:
        predictor = registry.load(pickle.loads(request.body))  # noqa: S301 - by the server
    except ModelyardError as error:
        _exit_if_forked(own_pid)
        frames.send(number, render_error(error))
        return
    _exit_if_forked(own_pid)
    frames.send(number, render_loaded(predictor))
    calls = _Calls(predictor)
    while (received := frames.receive()) is not None:
        number, request = received
        answer = calls.answer(request)
        _exit_if_forked(own_pid)
        frames.send(number, answer)


class _Calls:
    """Answers calls of the model, one after the other."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._begin = getattr(predictor, "begin", None)  # of scripts
        self._processor_wait = _ProcessorWait()
        self._parts: Generator[bytes, None, None] | None = None
        """The rest of an output that is made in parts."""

    def answer(self, request: Frame) -> Frame:
        """Return the answer to a call, or the next part of the output of the last one."""
        try:
            part = self._next_part() if request == NEXT_PART else self._answer(request)
            refuse_too_large(part.prediction.body)
        except ModelyardError as error:
            self._end_output()
            return render_error(error)
        return render_part(part)

    def _answer(self, request: Frame) -> Part:
        self._end_output()
        if request == STOP:
            return Part(Prediction(b""))
        payload, request_id = parse_call(request)
        REQUEST_ID.set(request_id)
        began_at, cpu_at = time.monotonic(), time.process_time()
        waited_at = self._processor_wait.seconds()
        if self._begin and payload.takes_parts and not is_of_a_protocol(payload.content_type):
            prediction, self._parts = predicted(self._begin, payload)
        else:
            prediction = predicted(partial(tensor_calls.predict, self._predictor), payload)
        predict_s, cpu_s = time.monotonic() - began_at, time.process_time() - cpu_at
        alone_s = max(0.0, predict_s - (self._processor_wait.seconds() - waited_at))
        return Part(prediction, self._parts is not None, predict_s, alone_s, cpu_s)

    def _next_part(self) -> Part:
        part = None if self._parts is None else next(self._parts, None)
        if part is None:
            self._parts = None
        return Part(Prediction(part or b""), part is not None)

    def _end_output(self) -> None:
        parts, self._parts = self._parts, None
        if parts is None:
            return
        try:
            parts.close()
        except BaseException:  # the model's code may raise anything
            logger.exception("output not ended")


class _ProcessorWait:
    """For how long this thread was ready to run while others used the processors (Linux)."""

    def __init__(self) -> None:
        try:
            self._file = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._file = -1

    def seconds(self) -> float:
        """Return how long that was until now; always 0 where the system does not tell."""
        try:
            return int(os.pread(self._file, 64, 0).split()[1]) / 1e9
        except (OSError, IndexError, ValueError):
            return 0.0


def _exit_if_forked(own_pid: int) -> None:
    """End a copy of this process that the model's code forked and that returned from its call."""
    if os.getpid() != own_pid:
        os._exit(0)


def _prepare_process() -> None:
    """Undo what a forked process shares with the others of its nursery, and set up its output."""
    sys.argv[1:] = []
    sys.dont_write_bytecode = True  # the artifact's folder must not change
    if (numpy_random := sys.modules.get("numpy.random")) is not None:
        numpy_random.seed()  # Python's own generator does this itself
    sys.stdout, sys.stderr = (
        open(  # noqa: SIM115 - descriptors of the process
            descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
        )
        for descriptor in (1, 2)
    )
    faulthandler.enable()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s", force=True)

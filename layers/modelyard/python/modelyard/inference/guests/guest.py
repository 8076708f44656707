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

import orjson

from modelyard.domain.envelope import Frame, render_answer
from modelyard.domain.errors import ModelyardError
from modelyard.domain.ports import Predictor
from modelyard.domain.protocol_bodies import is_of_a_protocol
from modelyard.domain.requests import REQUEST_ID, Answer
from modelyard.domain.values import Payload, Prediction, Timings
from modelyard.inference.answering import predicted, refuse_too_large
from modelyard.inference.guests.frame_socket import FrameSocket
from modelyard.runtimes import registry, tensor_calls

logger = logging.getLogger(__name__)


NEXT_PART = Frame(b"next")
"""Asks for the next part of the output of the call before."""
STOP = Frame(b"stop")
"""Says that nobody wants the other parts."""


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
        frames.send(number, render_answer(Answer(error=error)))
        return
    _exit_if_forked(own_pid)
    loaded = {"needs_files": predictor.needs_files, "signature": predictor.signature}
    frames.send(number, Frame(orjson.dumps(loaded)))
    calls = _Calls(predictor)
    while (received := frames.receive()) is not None:
        number, request = received
        answer = render_answer(calls.answer(request))
        _exit_if_forked(own_pid)
        frames.send(number, answer)


class _Calls:
    """Answers calls of the model, one after the other."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._parts: Generator[bytes, None, None] | None = None
        """The rest of an output that is made in parts."""

    def answer(self, request: Frame) -> Answer:
        """Return the answer to a call, or the next part of the output of the last one."""
        try:
            answer = self._next_part() if request == NEXT_PART else self._answer(request)
            refuse_too_large(answer)
        except ModelyardError as error:
            self._end_output()
            return Answer(error=error)
        return answer

    def _answer(self, request: Frame) -> Answer:
        self._end_output()
        if request == STOP:
            return Answer()
        *told, takes_parts, request_id = orjson.loads(request.head)
        REQUEST_ID.set(request_id)
        payload = Payload(request.body, *told)
        began_at = time.monotonic()
        begin = getattr(self._predictor, "begin", None)  # of scripts
        if takes_parts and begin is not None and not is_of_a_protocol(payload.content_type):
            prediction, self._parts = predicted(begin, payload)
        else:
            prediction = predicted(partial(tensor_calls.predict, self._predictor), payload)
        timings = Timings(predict_s=time.monotonic() - began_at)
        return Answer(prediction=prediction, has_more=self._parts is not None, timings=timings)

    def _next_part(self) -> Answer:
        if self._parts is None:
            return Answer(prediction=Prediction(b""))
        part = next(self._parts, None)
        if part is None:
            self._parts = None
        return Answer(prediction=Prediction(part or b""), has_more=part is not None)

    def _end_output(self) -> None:
        parts, self._parts = self._parts, None
        if parts is None:
            return
        try:
            parts.close()
        except BaseException:  # the model's code may raise anything
            logger.exception("output not ended")


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

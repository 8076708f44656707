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
from functools import partial

import orjson

from modelyard.domain.envelope import Frame, render_answer
from modelyard.domain.errors import ModelyardError
from modelyard.domain.ports import Predictor
from modelyard.domain.requests import REQUEST_ID, Answer
from modelyard.domain.values import Payload, Timings
from modelyard.inference.answering import predicted, refuse_too_large
from modelyard.inference.guests.frame_socket import FrameSocket
from modelyard.runtimes import registry, tensor_calls


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
    while (received := frames.receive()) is not None:
        number, request = received
        answer = render_answer(_answer(predictor, request))
        _exit_if_forked(own_pid)
        frames.send(number, answer)


def _answer(predictor: Predictor, request: Frame) -> Answer:
    content_type, accept, custom_attributes, request_id = orjson.loads(request.head)
    REQUEST_ID.set(request_id)
    payload = Payload(request.body, content_type, accept, custom_attributes)
    began_at = time.monotonic()
    try:
        prediction = predicted(partial(tensor_calls.predict, predictor), payload)
        timings = Timings(predict_s=time.monotonic() - began_at)
        answer = Answer(prediction=prediction, timings=timings)
        refuse_too_large(answer)
    except ModelyardError as error:
        return Answer(error=error)
    return answer


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

"""A model in a process of its own: calls, limits, crashes and its end, with real processes."""

import ast
import json
import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from modelyard.domain.errors import (
    InputRejectedError,
    ModelCrashedError,
    ModelEndedError,
    ModelLoadError,
    PredictionError,
)
from modelyard.domain.requests import PREDICT_LIMIT_S, REQUEST_ID
from modelyard.domain.values import Payload
from modelyard.inference.guests import guest_predictor
from tests.serving import eventually
from tests.unit.inference.guests.conftest import ask

ECHO = """
    import json, os

    def transform_fn(model, data, content_type, accept, context):
        context.set_response_custom_attributes(str(context.custom_attributes))
        told = [len(data), content_type, accept, context.get_request_id()]
        return json.dumps(told), "text/x-told"

    def model_fn(model_dir): ...
"""
RUN = """
    import os, signal, sys, threading, time

    held = []

    def model_fn(model_dir): ...

    def transform_fn(model, data, content_type, accept):
        values = {}
        exec(data.decode(), globals(), values)
        return str(values.get("answer")), "text/plain"
"""


def test_payload_and_prediction_arrive_whole(load, is_fresh):
    predictor = load(ECHO, fresh=is_fresh)
    token = REQUEST_ID.set("r-1")

    prediction = predictor.predict(Payload(bytes(3 << 20), "image/x", "a/b", "c=1"))

    REQUEST_ID.reset(token)
    assert json.loads(prediction.body) == [3 << 20, "image/x", "a/b", "r-1"]
    assert (prediction.content_type, prediction.custom_attributes) == ("text/x-told", "c=1")


def test_large_answer_arrives_whole(load):
    assert ask(load(RUN), b"answer = 'x' * (5 << 20)") == "x" * (5 << 20)


def test_error_of_the_model_keeps_its_type_and_status(load):
    source = """
        class Teapot(Exception):
            status_code = 418

        def model_fn(model_dir): ...

        def transform_fn(model, data, content_type, accept):
            raise Teapot("short and stout")
    """
    with pytest.raises(PredictionError, match="Teapot: short and stout") as caught:
        ask(load(source))
    assert caught.value.original_status == 418


def test_error_of_the_default_functions_keeps_its_type(load):
    predictor = load("def model_fn(d): ...\ndef predict_fn(x, m): return x")

    with pytest.raises(InputRejectedError):
        predictor.predict(Payload(b"a,b", "text/csv"))
    assert predictor.predict(Payload(b"1,2", "text/csv")).body == b"[1.0,2.0]"


def test_error_of_the_load_is_that_of_the_script(load, is_fresh):
    with pytest.raises(ModelLoadError, match="ZeroDivisionError"):
        load("1 / 0", fresh=is_fresh)


def test_many_threads_get_their_own_answers(load):
    predictor = load(RUN)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: ask(predictor, b"answer = %d" % i), range(200)))

    assert answers == [str(i) for i in range(200)]


def test_functions_run_on_the_main_thread(load, is_fresh):
    predictor = load(RUN, fresh=is_fresh)

    answer = b"answer = threading.current_thread() is threading.main_thread()"

    assert ask(predictor, answer) == "True"
    assert ask(predictor, b"answer = signal.signal(signal.SIGUSR1, signal.SIG_IGN)") == "0"


LISTING = b"""
import pathlib
found = [str(one.readlink()) for one in pathlib.Path('/proc/self/fd').iterdir() if one.exists()]
answer = [one.partition(':')[0] for one in found]
"""


def test_guest_has_no_descriptor_of_the_server(load, tmp_path, is_fresh):
    (tmp_path / "secret").touch()
    with (tmp_path / "secret").open() as kept:
        os.set_inheritable(kept.fileno(), True)
        predictor = load(RUN, fresh=is_fresh)

        found = ask(predictor, LISTING)

    of_others = [one for one in ast.literal_eval(found) if not one.endswith("/schedstat")]
    assert sorted(of_others) == [os.devnull, "pipe", "pipe", "socket"]


def test_guest_dies_before_the_server_when_memory_runs_out(load):
    path = Path("/proc/self/oom_score_adj")

    score = ask(load(RUN), f"answer = open({str(path)!r}).read()".encode())

    assert int(score) > int(path.read_text())


def test_random_numbers_of_two_models_differ(load):
    numbers = b"import random, numpy; answer = [random.random(), numpy.random.rand()]"

    first, second = (json.loads(ask(load(RUN), numbers)) for _ in range(2))

    assert first[0] != second[0]
    assert first[1] != second[1]


@pytest.mark.parametrize("death", ["os._exit(3)", "os.abort()", "os.kill(os.getpid(), 9)"])
def test_call_that_ends_the_process_is_told_so_and_the_next_call_has_to_load(load, death):
    predictor = load(RUN)

    with pytest.raises(ModelCrashedError, match="model process exited"):
        ask(predictor, death.encode())
    with pytest.raises(ModelEndedError):
        ask(predictor)
    assert predictor.memory_bytes == 0


def test_process_that_ended_between_calls_was_not_called(load):
    predictor = load(RUN)
    os.kill(predictor.pid, 9)
    eventually(predictor.has_ended)

    with pytest.raises(ModelEndedError):
        ask(predictor)


@pytest.mark.parametrize("death", ["os._exit(3)", "os.kill(os.getpid(), 9)", "sys.exit(3)"])
def test_process_that_ends_while_it_loads_is_a_model_error(load, death):
    with pytest.raises((ModelCrashedError, ModelLoadError)):
        load(f"import os, sys\ndef model_fn(d): {death}")


def test_child_of_an_ended_process_does_not_keep_its_caller_waiting(load):
    predictor = load(RUN)

    with pytest.raises(ModelCrashedError):
        ask(predictor, b"os._exit(1) if os.fork() else (os.setsid(), time.sleep(600))")


FORGED = b"""
import socket
for number in range(3, 20):
    try:
        end = socket.socket(fileno=number)
    except OSError:
        continue
    end.send(b'x' * 40)
    end.detach()
"""


def test_answer_that_nobody_asked_for_ends_the_process(load):
    predictor = load(RUN)

    with pytest.raises(ModelCrashedError):
        ask(predictor, FORGED)
    with pytest.raises(ModelEndedError):
        ask(predictor)


@pytest.mark.parametrize(
    "hang", ["time.sleep(600)", "while True: pass", "import re; re.match('(a+)+$', 'a' * 60 + 'b')"]
)
def test_call_over_its_limit_is_ended_with_the_process(load, hang):
    predictor = load(RUN)
    token = PREDICT_LIMIT_S.set(0.2)

    with pytest.raises(ModelCrashedError, match=r"timed out .* Its process was ended after"):
        ask(predictor, hang.encode())

    PREDICT_LIMIT_S.reset(token)
    assert not psutil.pid_exists(predictor.pid)


def begun(predictor, body):
    return predictor.begin(Payload(body, "application/octet-stream"))


def test_a_call_can_be_begun_and_finished_later(load, tmp_path):
    predictor, gate = load(RUN), tmp_path / "gate"
    waits = f"import pathlib\nwhile not pathlib.Path({str(gate)!r}).exists(): pass\nanswer = 7"

    call = begun(predictor, waits.encode())

    assert not call.is_answered(0.0)
    assert begun(predictor, b"answer = 8") is None
    gate.touch()
    assert call.is_answered(30.0)
    assert call.finish().body == b"7"
    assert begun(predictor, b"answer = 8").finish().body == b"8"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (b"until = time.thread_time() + 0.01\nwhile time.thread_time() < until: pass", True),
        (b"time.sleep(0.02)", False),
    ],
    ids=["computes", "waits"],
)
def test_a_guest_tells_models_that_compute_from_those_that_wait(load, code, expected):
    predictor = load(RUN)

    for _ in range(6):
        ask(predictor, code + b"\nanswer = 1")

    assert predictor.is_cpu_bound is expected


def test_a_call_that_was_begun_is_told_of_the_end_of_the_process(load):
    predictor = load(RUN)
    call = begun(predictor, b"os._exit(3)")

    with pytest.raises(ModelCrashedError):
        call.finish()
    with pytest.raises(ModelEndedError):
        begun(predictor, b"answer = 1")
    with pytest.raises(ModelEndedError):  # nobody holds the turn
        ask(predictor)


def test_calls_behind_an_ended_one_are_told_to_load_again(load):
    predictor = load(RUN)
    token = PREDICT_LIMIT_S.set(0.3)
    outcomes = []

    def call(body):
        PREDICT_LIMIT_S.set(0.3 if b"sleep" in body else 60.0)
        try:
            outcomes.append(ask(predictor, body))
        except Exception as error:
            outcomes.append(type(error))

    threads = [threading.Thread(target=call, args=(b"time.sleep(600)",))]
    threads[0].start()
    threads += [threading.Thread(target=call, args=(b"answer = 1",)) for _ in range(4)]
    for thread in threads[1:]:
        thread.start()
    for thread in threads:
        thread.join()

    PREDICT_LIMIT_S.reset(token)
    assert outcomes.count(ModelCrashedError) == 1
    assert set(outcomes) <= {ModelCrashedError, ModelEndedError, "1"}


def test_load_over_its_limit_is_ended(load):
    with pytest.raises(ModelCrashedError, match="timed out"):
        load("import time\ndef model_fn(d): time.sleep(600)", load_limit_s=0.2)


def test_memory_is_that_of_the_process_without_what_it_shares(load):
    small, large = load(RUN), load(RUN.replace("held = []", "held = [b'x' * (30 << 20)]"))

    assert 0 < small.memory_bytes < 16 << 20
    assert 29 << 20 < large.memory_bytes - small.memory_bytes < 40 << 20


def test_memory_is_measured_again_after_calls(load, monkeypatch):
    monkeypatch.setattr(guest_predictor, "MEASURE_EVERY_S", 0.0)
    predictor = load(RUN)
    before = predictor.memory_bytes

    ask(predictor, b"held.append(b'x' * (30 << 20))")

    assert 29 << 20 < predictor.memory_bytes - before < 40 << 20


def test_call_that_exceeds_the_memory_limit_is_ended(load):
    predictor = load(RUN)

    with pytest.raises(ModelCrashedError, match=r"It used \d+ bytes of memory") as caught:
        ask(predictor, b"while True: held.append(b'x' * (8 << 20)); time.sleep(0.01)")

    assert caught.value.original_status == 507


def test_model_above_the_limit_after_a_call_is_ended_but_its_answer_is_good(load, monkeypatch):
    monkeypatch.setattr(guest_predictor, "MEASURE_EVERY_S", 0.0)
    monkeypatch.setattr(guest_predictor, "LOOK_EVERY_S", 60.0)
    predictor = load(RUN, limit_bytes=64 << 20)

    assert ask(predictor, b"held.append(b'x' * (90 << 20)); answer = 1") == "1"
    with pytest.raises(ModelEndedError):
        ask(predictor)


SLEEPER = b"""
import subprocess
answer = subprocess.Popen(['sleep', '600'], start_new_session=True).pid
"""


def test_closed_model_has_no_process(load, is_fresh):
    predictor = load(RUN, fresh=is_fresh)
    sleeper = int(ask(predictor, SLEEPER))

    predictor.close()

    assert not psutil.pid_exists(predictor.pid)
    eventually(lambda: not psutil.pid_exists(sleeper))


def test_closed_models_leave_no_descriptor(load):
    load(RUN).close()
    eventually(lambda: "guest output" not in {one.name for one in threading.enumerate()})
    before = psutil.Process().num_fds()

    for _ in range(3):
        load(RUN).close()

    eventually(lambda: psutil.Process().num_fds() <= before)


PRINTING = b"""
print('python')
os.write(1, b'native\\n')
os.system('echo child')
sys.stderr.write('error\\n')
"""


def test_output_of_python_native_code_and_children_is_logged(load, caplog):
    caplog.set_level(logging.INFO)
    predictor = load(RUN)

    ask(predictor, PRINTING)

    eventually(lambda: "error" in caplog.messages)
    printed = [record for record in caplog.records if record.name == "print"]
    assert [record.getMessage() for record in printed] == ["python", "native", "child", "error"]
    assert {vars(record)["model"] for record in printed} == {"endpoint/model"}


def test_log_lines_of_the_model_are_logged(load, caplog):
    caplog.set_level(logging.INFO)

    ask(load(RUN), b"import logging; logging.getLogger('mine').info('hello')")

    eventually(lambda: "INFO mine hello" in caplog.messages)


PARTS = """
    def model_fn(model_dir): ...

    def transform_fn(model, data, content_type, accept):
        try:
            yield from data.decode().split(",")
        finally:
            held.append(True)
            exec(at_end)

    held, at_end = [], "pass"
"""
IN_PARTS = Payload(b"a,b", "text/x", takes_parts=True)


def test_parts_come_one_by_one_and_the_next_call_gets_its_turn(load):
    predictor = load(PARTS)

    bodies = [(prediction.body, has_more) for prediction, has_more in predictor.parts(IN_PARTS)]

    assert bodies == [(b"a", True), (b"b", True), (b"", False)]
    assert ask(predictor, b"1,2") == "12"


def test_closed_parts_end_the_output_before_the_next_call(load):
    predictor = load(PARTS)
    parts = predictor.parts(IN_PARTS)
    next(parts)
    assert begun(predictor, b"1") is None  # the output has not ended

    parts.close()

    assert begun(predictor, b"1").finish().body == b"1"


def test_an_output_that_does_not_end_is_ended_with_its_process(load, monkeypatch):
    monkeypatch.setattr(guest_predictor, "STOP_LIMIT_S", 0.2)
    predictor = load(PARTS.replace('"pass"', '"while True: pass"'))
    parts = predictor.parts(IN_PARTS)
    next(parts)

    with pytest.raises(ModelCrashedError):
        parts.close()

    assert not psutil.pid_exists(predictor.pid)


def test_a_process_that_ends_between_parts_is_a_crash(load):
    predictor = load(PARTS)
    parts = predictor.parts(IN_PARTS)
    next(parts)

    os.kill(predictor.pid, 9)

    with pytest.raises(ModelCrashedError):
        next(parts)

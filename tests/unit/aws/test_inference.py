"""The inference function: when an invocation may end, and when it must not."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from modelyard.aws.function_settings import InferenceSettings
from modelyard.aws.inference import (
    STOP_MARGIN_S,
    UPDATE_WAIT_S,
    InferenceFunction,
    StartedApi,
    handler_of,
)
from modelyard.aws.lambda_payload import members_of, parse_payload
from modelyard.cortex.settings import ApiSettings
from modelyard.domain.endpoints import Endpoint
from modelyard.domain.envelope import render_request
from modelyard.domain.errors import ModelNotReadyError
from modelyard.domain.requests import Answer, CallApi, Invoke, Request
from modelyard.domain.values import ModelSource, Payload, Prediction, Sample, TargetModel
from modelyard.inference.residence import speed
from modelyard.inference.workload import Turn, Workload
from tests.models.onnx_models import linear_onnx
from tests.models.user_classes import project

SOURCE = ModelSource("housing", TargetModel("m"), "memory:")
EVENT = members_of(render_request(Invoke(SOURCE, Payload(b"1"), 25.0, 25.0)))


class Context:
    def __init__(self, remaining_s: float) -> None:
        self._remaining_s = remaining_s

    def get_remaining_time_in_millis(self) -> int:
        return int(self._remaining_s * 1000)


class Service:
    """Gives one answer, and remembers for how long it was waited for loads."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.waits_s: list[float] = []
        self.finished_within_s: list[float] = []
        self.starts = 0

    def start(self) -> None:
        self.starts += 1

    def handle(self, request: Request) -> Answer:
        assert isinstance(request, Invoke)
        return self.answer

    def finish_loads(self, timeout_s: float) -> None:
        self.waits_s.append(timeout_s)

    def finish(self, timeout_s: float) -> None:
        self.finished_within_s.append(timeout_s)


def invoke(service: Service, remaining_s: float) -> Answer:
    members = InferenceFunction(service).handle(EVENT, Context(remaining_s))
    return parse_payload(json.dumps(members).encode())


@pytest.mark.parametrize(
    ("error", "remaining_s", "wait_s"),
    [
        (ModelNotReadyError("loading"), 360.0, 360.0 - STOP_MARGIN_S),
        (None, 360.0, UPDATE_WAIT_S),
        (None, 3.0, 3.0 - STOP_MARGIN_S),
        (ModelNotReadyError("loading"), 1.0, 0.0),
    ],
    ids=["load that outlasts its caller", "update", "little time", "no time"],
)
def test_invocation_ends_when_its_loads_have(
    error: ModelNotReadyError | None, remaining_s: float, wait_s: float
) -> None:
    service = Service(Answer(error=error))

    invoke(service, remaining_s)

    assert service.waits_s == [wait_s]


def test_what_was_measured_is_in_the_next_answer_that_somebody_waits_for() -> None:
    fetched, loaded = (Sample(name, 1.0, "housing") for name in ("Fetched", "Loaded"))
    service = Service(Answer(error=ModelNotReadyError("loading"), samples=(fetched,)))
    function, context = InferenceFunction(service), Context(360.0)

    unheard = parse_payload(json.dumps(function.handle(EVENT, context)).encode())
    service.answer = Answer(prediction=Prediction(b"1"), samples=(loaded,))
    heard = parse_payload(json.dumps(function.handle(EVENT, context)).encode())
    service.answer = Answer(prediction=Prediction(b"1"))
    third = parse_payload(json.dumps(function.handle(EVENT, context)).encode())

    assert (unheard.samples, heard.samples, third.samples) == ((), (fetched, loaded), ())


def test_answer_is_the_services() -> None:
    answer = Answer(prediction=Prediction(b"[1]", "application/json"))

    assert invoke(Service(answer), 360.0) == answer


def test_a_loaded_model_that_is_fast_is_called_without_waiting_for_a_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = TargetModel(linear_onnx(tmp_path, 2.0, 1.0, features=1).name)
    source = Endpoint("lines", tmp_path.as_uri(), revalidate_s=3600.0).source(name)
    handle = handler_of(InferenceSettings(str(tmp_path / "cache"), 1 << 30, 1 << 30).to_environ())
    turns: list[object] = []
    original = Workload.queue

    def queue(workload: Workload, model: object, cost_s: float) -> Turn:
        turns.append(model)
        return original(workload, model, cost_s)

    monkeypatch.setattr(Workload, "queue", queue)
    monkeypatch.setattr(speed, "FAST_S", 60.0)
    monkeypatch.setattr(speed, "FAST_CPU_S", 60.0)
    call = members_of(render_request(Invoke(source, Payload(b"3\n", "text/csv"), 25.0, 25.0)))

    answers = [parse_payload(json.dumps(handle(call, Context(60.0))).encode()) for _ in range(4)]

    assert {answer.prediction and answer.prediction.body for answer in answers} == {b"[[7.0]]"}
    assert len(turns) == speed.MIN_CALLS


def test_class_of_an_api_is_made_once_by_calls_at_the_same_time() -> None:
    service = Service(Answer())
    api = StartedApi(service)  # type: ignore[arg-type]
    request = Invoke(SOURCE, Payload(b"1"), 25.0, 25.0)
    threads = [threading.Thread(target=api.handle, args=(request,)) for _ in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert service.starts == 1


def test_invocation_of_an_api_waits_for_what_its_class_left_to_be_done() -> None:
    service = Service(Answer())

    InferenceFunction(StartedApi(service)).handle(EVENT, Context(360.0))  # type: ignore[arg-type]

    assert (service.waits_s, service.finished_within_s) == ([UPDATE_WAIT_S],) * 2


OPENS_A_FILE_BESIDE_IT = """
class PythonPredictor:
    def __init__(self, config):
        self.words = open("words.txt").read()

    def predict(self, payload):
        return self.words
"""
INVOCATION = """
import json, os, sys
from modelyard.aws.inference import handler_of

class Context:
    def get_remaining_time_in_millis(self):
        return 60_000

print(json.dumps(handler_of(os.environ)(json.load(sys.stdin), Context())))
"""


def test_class_of_an_api_opens_files_relative_to_its_project(tmp_path: Path) -> None:
    api = project(tmp_path / "project", OPENS_A_FILE_BESIDE_IT)
    (tmp_path / "project" / "words.txt").write_text("found")
    told = ApiSettings(api, "memory:", 10.0, 25.0)
    (tmp_path / "api.json").write_bytes(told.to_line())
    settings = InferenceSettings(str(tmp_path / "cache"), 1 << 20, 1 << 20, f"{tmp_path}/api.json")
    headers = (("content-type", "application/json"),)
    call = CallApi(ModelSource("api", TargetModel(""), "memory:"), "", headers, b"{}", 25.0)

    result = subprocess.run(
        [sys.executable, "-c", INVOCATION],
        input=json.dumps(members_of(render_request(call))),
        env=os.environ | settings.to_environ(),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    reply = parse_payload(result.stdout.splitlines()[-1].encode()).response
    assert reply is not None
    assert (reply.status, reply.body) == (200, b"found")


def test_handlers_hold_nothing_but_their_wiring() -> None:
    folder = Path(__file__).parents[3] / "functions"

    for name in ("router", "inference", "warmer"):
        lines = (folder / name / "handler.py").read_text().splitlines()
        code = [line for line in lines if line and not line.startswith('"""')]
        assert code == [
            "import os",
            "from modelyard.aws.frozen_imports import frozen_imports",
            "with frozen_imports():",
            f"    from modelyard.aws.{name} import handler_of",
            "    handler = handler_of(os.environ)",
        ]

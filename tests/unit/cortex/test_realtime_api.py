"""The use cases of a Cortex API over the real residence; its class is a function of the test."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from modelyard.cortex import realtime_api
from modelyard.cortex.project import ApiModels
from modelyard.cortex.realtime_api import Afterwards, RealtimeApi
from modelyard.cortex.user_class.request_view import render
from modelyard.domain.errors import (
    CapacityError,
    ConfigurationError,
    DependencyError,
    ModelAlreadyLoadedError,
    ModelError,
    ModelLoadError,
    ModelNotLoadedError,
    ModelNotReadyError,
    ModelyardError,
    PredictionError,
    TargetModelNotFoundError,
    UnsupportedOperationError,
)
from modelyard.domain.requests import (
    Answer,
    CallApi,
    DescribeApi,
    Invoke,
    Load,
    NextPart,
    Request,
    Survey,
    Unload,
)
from modelyard.domain.values import HttpResponse, ModelStatus, Payload, Prediction, Timings
from tests.unit.cortex.clients.api_under_test import (
    API,
    DIRECTORY,
    PATIENT_S,
    REVALIDATE_S,
    SINGLE,
    ApiUnderTest,
    in_thread,
)

OBJECTS = {f"{key}/weights": key.encode() for key in ("a/1", "b/1", "b/2", "b/10")}
PAYLOAD = Payload(b"1,2")
TEXT = (("content-type", "text/plain"),)

Query = dict[str, str]
Predict = Callable[[Query], HttpResponse]


class Scene:
    """An API whose class does what the test says: the model's content, if it says nothing."""

    def __init__(
        self, folder: Path, models: ApiModels | None = DIRECTORY, *, threads: int = 1
    ) -> None:
        self.client = ApiUnderTest(folder, models or ApiModels(), OBJECTS)
        self.predict: Predict = self.content
        self.afterwards: Afterwards | None = None
        self.requests: list[tuple[str, tuple[tuple[str, str], ...], bytes]] = []
        self.make: Callable[[], object] = lambda: None
        self.api = RealtimeApi(
            construct_class=self.construct_class,
            models=None if models is None else self.client.models,
            residence=self.client.residence,
            metrics=self.client.metrics,
            clock=self.client.clock,
            threads=threads,
        )

    def started(self) -> "Scene":
        self.api.start()
        return self

    def construct_class(self) -> "Scene":
        self.make()
        return self

    def answer(
        self, query: str, headers: tuple[tuple[str, str], ...], body: bytes
    ) -> tuple[HttpResponse, Afterwards | None]:
        self.requests.append((query, headers, body))
        return self.predict(dict(parse_qsl(query))), self.afterwards

    def content(self, query: Query) -> HttpResponse:
        """Answer with the content of the model that the query names."""
        content = self.client.get(query.get("model"), query.get("version"))
        return HttpResponse(200, TEXT, content.encode())

    def call(self, query: str = "", *, window_s: float = PATIENT_S) -> Answer:
        return self.api.handle(CallApi(self.client.source(""), query, TEXT, b"body", window_s))

    def body(self, query: str = "") -> bytes:
        answer = self.call(query)
        assert answer.response is not None, answer.error
        return answer.response.body

    def error(self, query: str = "", *, window_s: float = PATIENT_S) -> ModelyardError | None:
        return self.call(query, window_s=window_s).error

    def invoke(self, target: str, payload: Payload = PAYLOAD) -> Answer:
        source = self.client.source(target)
        return self.api.handle(Invoke(source, payload, PATIENT_S, PATIENT_S))

    def load(self, target: str, *, fresh: bool = False, window_s: float = PATIENT_S) -> Answer:
        return self.api.handle(Load(self.client.source(target), window_s, fresh))

    def unload(self, target: str) -> Answer:
        return self.api.handle(Unload(self.client.source(target)))

    def leases(self) -> int:
        return sum(model.leases for model in self.client.cache)


@pytest.fixture
def new_scene(tmp_path: Path) -> Iterator[Callable[..., Scene]]:
    scenes: list[Scene] = []

    def new(*args: Any, **options: Any) -> Scene:
        scenes.append(Scene(tmp_path, *args, **options))
        return scenes[-1]

    yield new
    for scene in scenes:
        scene.client.settle()


@pytest.fixture
def scene(new_scene: Callable[..., Scene]) -> Scene:
    """An API over a folder of models, of which one call runs at a time."""
    return new_scene().started()


def always(status: int) -> Predict:
    return lambda query: HttpResponse(status, (), b"what the class says")


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: object) -> Any:
        raise error

    return fail


def test_class_gets_the_request_and_gives_the_reply(scene: Scene) -> None:
    answer = scene.call("model=b&version=2&x=%20")

    assert scene.requests == [("model=b&version=2&x=%20", TEXT, b"body")]
    assert answer.response == HttpResponse(200, TEXT, b"b/2")


@pytest.mark.parametrize("status", [200, 404, 500])
def test_c15_any_status_is_the_reply_of_the_class(scene: Scene, status: int) -> None:
    scene.predict = always(status)

    assert scene.call().response == HttpResponse(status, (), b"what the class says")


def test_c22_what_a_client_raises_is_the_error_of_the_call(scene: Scene) -> None:
    assert isinstance(scene.error("model=nobody"), TargetModelNotFoundError)


def test_defect_is_answered_without_its_details(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.predict = raising(RuntimeError("secret"))

    error = scene.error()

    assert type(error) is ModelyardError
    assert "secret" not in error.message
    assert "secret" in caplog.text


def test_call_gives_its_models_back(scene: Scene) -> None:
    scene.call("model=a")

    assert scene.leases() == 0


def test_call_that_fails_gives_its_models_back(scene: Scene) -> None:
    def fail(query: Query) -> HttpResponse:
        scene.content(query)
        assert scene.leases() == 1
        raise PredictionError("boom")

    scene.predict = fail

    assert isinstance(scene.error("model=a"), PredictionError)
    assert scene.leases() == 0


def test_first_call_of_a_model_is_a_miss_the_second_a_hit(scene: Scene) -> None:
    hits = [scene.call("model=a").timings.cache_hit for _ in range(2)]

    assert hits == [False, True]


def test_time_in_the_class_is_told_apart_from_waiting_for_models(scene: Scene) -> None:
    def slow(query: Query) -> HttpResponse:
        scene.client.clock.advance(0.25)
        return scene.content(query)

    scene.client.on_load = lambda folder: scene.client.clock.advance(4.0)
    scene.predict = slow

    assert scene.call("model=a").timings == Timings(cache_hit=False, wait_s=4.0, predict_s=0.25)


def test_metrics_travel_with_the_answer(scene: Scene) -> None:
    names = {sample.name for sample in scene.call("model=a").samples}

    assert "ModelLoadingTime" in names


def test_cold_model_takes_no_thread_of_the_class(scene: Scene) -> None:
    cold, released = threading.Event(), threading.Event()
    scene.body("model=a")
    scene.client.on_load = lambda folder: (cold.set(), released.wait(PATIENT_S))

    waiting = in_thread(lambda: scene.body("model=b"))
    assert cold.wait(PATIENT_S)
    meanwhile = scene.body("model=a")
    was_done = waiting.done()
    released.set()

    assert (meanwhile, was_done, waiting.result(PATIENT_S)) == (b"a/1", False, b"b/10")


def test_single_model_is_leased_ahead_whatever_the_query_says(
    new_scene: Callable[..., Scene],
) -> None:
    scene = new_scene(SINGLE).started()
    scene.client.repository.put("mpg/1/weights", b"one")
    scene.predict = always(200)

    scene.call("x=1")

    assert scene.client.loads == ["_cortex_default/1"]


def test_model_is_not_loaded_ahead_once_that_was_in_vain(scene: Scene) -> None:
    scene.predict = always(200)

    scene.call("model=a")
    scene.call("model=b")

    assert scene.client.loads == ["a/1"]


def test_model_is_not_loaded_ahead_once_another_was_meant(scene: Scene) -> None:
    scene.predict = lambda query: scene.content({"model": "a"})

    scene.call("model=b&version=1")
    scene.call("model=b&version=2")

    assert scene.client.loads == ["b/1", "a/1"]


def test_refused_call_says_nothing_of_what_the_class_means_by_its_query(scene: Scene) -> None:
    scene.predict = always(400)

    scene.call("model=a")
    scene.call("model=b")

    assert scene.client.loads == ["a/1", "b/10"]


def test_failed_call_says_nothing_of_what_the_class_means_by_its_query(scene: Scene) -> None:
    scene.predict = raising(PredictionError("boom"))

    scene.call("model=a")
    scene.call("model=b")

    assert scene.client.loads == ["a/1", "b/10"]


@pytest.mark.parametrize(
    "query",
    ["", "model=", "model=nobody", "model=a&version=7", "model=a&version=abc", "model=broken"],
)
def test_a_model_that_does_not_load_is_left_to_the_class(scene: Scene, query: str) -> None:
    scene.client.repository.put("broken/1/weights", b"bad")
    scene.predict = always(200)

    assert scene.body(query) == b"what the class says"


def test_last_of_repeated_parameters_is_the_model(scene: Scene) -> None:
    scene.body("model=a&model=b&version=1")

    assert scene.client.loads == ["b/1"]


def test_c30_model_that_cannot_be_loaded_fails_the_call(scene: Scene) -> None:
    scene.client.repository.put("a/1/weights", b"bad")

    errors = [scene.error("model=a") for _ in range(2)]

    assert [type(error) for error in errors] == [ModelLoadError] * 2
    assert scene.client.loads == ["a/1"] * 2


def test_model_that_is_not_loaded_in_time_is_not_ready(scene: Scene) -> None:
    with scene.client.closed_gate():
        error = scene.error("model=a", window_s=0)

    assert isinstance(error, ModelNotReadyError)
    assert error.target_model == "a/1"
    assert scene.requests == []


def test_model_that_the_class_asks_for_itself_has_the_same_window(scene: Scene) -> None:
    scene.predict = lambda query: scene.content({"model": "a"})

    with scene.client.closed_gate():
        error = scene.error(window_s=0)

    assert isinstance(error, ModelNotReadyError)
    assert error.target_model == "a/1"


def test_repository_that_is_down_fails_the_call(scene: Scene) -> None:
    scene.client.repository.is_down = True

    assert isinstance(scene.error("model=a"), DependencyError)
    assert scene.requests == []


def test_c18_post_predict_runs_after_the_answer(scene: Scene) -> None:
    answered, ran = threading.Event(), threading.Event()
    scene.afterwards = lambda: ran.set() if answered.wait(PATIENT_S) else None

    body = scene.body("model=a")
    was_run = ran.is_set()
    answered.set()

    assert (body, was_run, ran.wait(PATIENT_S)) == (b"a/1", False, True)


def test_c18_post_predict_is_no_part_of_the_call(scene: Scene) -> None:
    content: Future[str] = Future()
    scene.afterwards = lambda: content.set_result(scene.client.get("b"))

    scene.call("model=a")

    assert content.result(PATIENT_S) == "b/10"
    assert scene.leases() == 0


def test_call_that_gets_no_thread_is_told_that_the_class_is_busy(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, released = threading.Event(), threading.Event()

    def busy(query: Query) -> HttpResponse:
        began.set()
        assert released.wait(PATIENT_S)
        return always(200)(query)

    scene.predict = busy
    first = in_thread(scene.body)
    assert began.wait(PATIENT_S)
    monkeypatch.setattr(realtime_api, "TURN_TIMEOUT_S", 0.01)
    error = scene.error("model=a")
    released.set()

    assert isinstance(error, CapacityError)
    assert "raise threads_per_process" in error.message
    assert first.result(PATIENT_S) == b"what the class says"
    assert len(scene.requests) == 1
    assert scene.leases() == 0


def test_call_that_has_its_thread_may_take_its_time(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(realtime_api, "TURN_TIMEOUT_S", 0.25)

    def slow(query: Query) -> HttpResponse:
        threading.Event().wait(0.3)
        return always(200)(query)

    scene.predict = slow

    assert scene.body() == b"what the class says"


def test_class_runs_as_often_at_once_as_it_has_threads(new_scene: Callable[..., Scene]) -> None:
    scene = new_scene(None, threads=3).started()
    together = threading.Barrier(3)

    def meet(query: Query) -> HttpResponse:
        together.wait(PATIENT_S)
        return always(200)(query)

    scene.predict = meet
    answers = [in_thread(scene.body) for _ in range(6)]

    assert {answer.result(PATIENT_S) for answer in answers} == {b"what the class says"}


def test_class_never_runs_more_often_at_once_than_it_has_threads(
    new_scene: Callable[..., Scene],
) -> None:
    scene = new_scene(None, threads=1).started()
    running = threading.Lock()

    def alone(query: Query) -> HttpResponse:
        assert running.acquire(blocking=False)
        running.release()
        return always(200)(query)

    scene.predict = alone
    answers = [in_thread(scene.body) for _ in range(20)]

    assert {answer.result(PATIENT_S) for answer in answers} == {b"what the class says"}


def test_c31_class_may_get_models_while_it_is_made(new_scene: Callable[..., Scene]) -> None:
    scene = new_scene()
    contents: list[str] = []
    scene.make = lambda: contents.append(scene.client.get("a"))

    scene.started()

    assert contents == ["a/1"]
    assert scene.leases() == 0


def test_class_is_made_where_it_will_run(new_scene: Callable[..., Scene]) -> None:
    scene = new_scene()
    threads: list[threading.Thread] = []
    scene.make = lambda: threads.append(threading.current_thread())
    scene.predict = lambda query: threads.append(threading.current_thread()) or always(200)(query)

    scene.started().call()

    assert threads[0] is threads[1]


def requests(scene: Scene) -> list[Request]:
    source = scene.client.source("a")
    return [
        CallApi(source, "", (), b"", PATIENT_S),
        Invoke(source, Payload(b""), PATIENT_S, PATIENT_S),
        Load(source, PATIENT_S),
        Unload(source),
        Survey("api", API),
        DescribeApi("api"),
    ]


def test_class_that_cannot_be_made_is_the_answer_to_everything(
    new_scene: Callable[..., Scene],
) -> None:
    scene = new_scene()
    failure = ConfigurationError("predictor.py, line 3: no such file")
    scene.make = raising(failure)
    scene.started()

    assert {scene.api.handle(request).error for request in requests(scene)} == {failure}


@pytest.mark.parametrize(
    ("target", "content"),
    [("b", b"b/10"), ("b/2", b"b/2"), ("b/latest", b"b/10")],
)
def test_target_model_is_a_name_and_a_version(scene: Scene, target: str, content: bytes) -> None:
    assert scene.invoke(target).prediction == Prediction(content, "text/plain")


def test_invocation_reaches_the_class_as_a_call(scene: Scene) -> None:
    scene.invoke("b/2", Payload(b"1,2", "text/csv", "application/json", "trace=7"))

    headers = {
        "content-type": "text/csv",
        "accept": "application/json",
        "x-amzn-sagemaker-custom-attributes": "trace=7",
    }
    assert scene.requests == [("model=b&version=2", tuple(headers.items()), b"1,2")]


def test_custom_attributes_of_the_reply_travel_back(scene: Scene) -> None:
    headers = (("X-Amzn-SageMaker-Custom-Attributes", "trace=8"), ("Content-Type", "text/csv"))
    scene.predict = lambda query: HttpResponse(201, headers, b"1")

    assert scene.invoke("a").prediction == Prediction(b"1", "text/csv", "trace=8")


@pytest.mark.parametrize("status", [302, 400, 404, 500])
def test_reply_that_is_no_success_is_the_models_error(scene: Scene, status: int) -> None:
    scene.predict = always(status)

    error = scene.invoke("a").error

    assert isinstance(error, ModelError)
    assert (error.original_status, error.message) == (status, "what the class says")


def test_error_body_that_is_no_text_is_still_an_error(scene: Scene) -> None:
    scene.predict = lambda query: HttpResponse(500, (), b"\xff")

    error = scene.invoke("a").error

    assert error is not None
    assert error.message == "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("target", ["nobody", "nobody/1", "a/7", "a/abc", "a/1/2"])
def test_unknown_target_model_does_not_reach_the_class(scene: Scene, target: str) -> None:
    assert isinstance(scene.invoke(target).error, TargetModelNotFoundError)
    assert scene.requests == []


def test_class_without_models_makes_what_it_likes_of_the_target_model(
    new_scene: Callable[..., Scene],
) -> None:
    scene = new_scene(None).started()
    scene.predict = always(200)

    scene.invoke("sentiment")

    assert scene.requests == [("model=sentiment", (), b"1,2")]


@pytest.mark.parametrize(("target", "loaded"), [("b", "b/10"), ("b/2", "b/2")])
def test_loaded_model_is_warm_for_the_next_call(scene: Scene, target: str, loaded: str) -> None:
    assert scene.load(target).error is None

    assert scene.client.loaded == [loaded]
    assert scene.leases() == 0
    assert scene.call(f"model=b&version={loaded[2:]}").timings.cache_hit


def test_load_of_a_loaded_model_succeeds(scene: Scene) -> None:
    assert [scene.load("a").error, scene.load("a").error] == [None, None]


def test_fresh_load_of_a_loaded_model_is_refused(scene: Scene) -> None:
    assert scene.load("a", fresh=True).error is None
    assert isinstance(scene.load("a/1", fresh=True).error, ModelAlreadyLoadedError)
    assert scene.leases() == 0


def test_load_that_takes_longer_than_its_window_is_not_ready(scene: Scene) -> None:
    with scene.client.closed_gate():
        assert isinstance(scene.load("a", window_s=0).error, ModelNotReadyError)

    assert scene.client.loaded == ["a/1"]


def test_load_says_what_is_wrong_with_a_model(scene: Scene) -> None:
    scene.client.repository.put("a/1/weights", b"bad weights")

    error = scene.load("a").error

    assert isinstance(error, ModelLoadError)
    assert "bad weights" in error.message


def test_one_version_is_unloaded(scene: Scene) -> None:
    scene.load("b/1")
    scene.load("b/2")

    assert scene.unload("b/2").error is None
    assert scene.client.loaded == ["b/1"]


@pytest.mark.parametrize("target", ["b", "b/latest"])
def test_name_unloads_every_version_there_is(scene: Scene, target: str) -> None:
    scene.load("a")
    scene.load("b/1")
    scene.load("b/10")

    assert scene.unload(target).error is None
    assert scene.client.loaded == ["a/1"]


def test_unload_of_a_model_that_is_not_loaded(scene: Scene) -> None:
    assert isinstance(scene.unload("a").error, ModelNotLoadedError)


def test_unload_of_a_model_that_is_not_there(scene: Scene) -> None:
    assert isinstance(scene.unload("nobody").error, TargetModelNotFoundError)


def test_survey_tells_which_versions_are_loaded(scene: Scene) -> None:
    scene.load("b/2")

    [found] = scene.api.handle(Survey("api", API)).residences

    assert (found.model_id.target_model, found.status) == ("b/2", ModelStatus.LOADED)


def test_c42_summary_has_the_metadata_of_the_models(scene: Scene) -> None:
    reply = scene.api.handle(DescribeApi("api")).response

    assert reply is not None
    assert (reply.status, reply.headers) == (200, (("content-type", "application/json"),))
    summary = json.loads(reply.body)
    assert "POST" in summary["message"]
    assert set(summary["model_metadata"]) == {"a", "b"}
    assert set(summary["model_metadata"]["b"]["versions"]) == {"1", "2", "10"}


def test_c42_summary_without_models_has_no_metadata(new_scene: Callable[..., Scene]) -> None:
    reply = new_scene(None).started().api.handle(DescribeApi("api")).response

    assert reply is not None
    assert set(json.loads(reply.body)) == {"message"}


@pytest.mark.parametrize("target", ["a", "a/1"])
def test_models_that_the_class_makes_itself_are_not_managed(
    new_scene: Callable[..., Scene], target: str
) -> None:
    scene = new_scene(None).started()

    assert isinstance(scene.load(target).error, UnsupportedOperationError)
    assert isinstance(scene.unload(target).error, UnsupportedOperationError)


def test_c40_refresh_frees_what_is_gone(scene: Scene) -> None:
    scene.load("b/2")
    scene.client.repository.delete("b/2/weights")
    scene.client.clock.advance(REVALIDATE_S)

    scene.api.refresh()

    assert scene.client.loaded == []


def test_refresh_survives_whatever_happens(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.load("a")
    scene.client.repository.objects = raising(RuntimeError("broken pipe"))
    scene.client.clock.advance(REVALIDATE_S)

    scene.api.refresh()

    assert "broken pipe" in caplog.text
    assert scene.client.loaded == ["a/1"]


def test_refresh_without_models_does_nothing(new_scene: Callable[..., Scene]) -> None:
    scene = new_scene(None).started()

    scene.api.refresh()

    assert scene.client.repository.listed == []


class Yielding:
    """What a class yields for the model `a`, whose memory it uses meanwhile."""

    def __init__(self, scene: Scene, *, fails: bool = False) -> None:
        self._scene = scene
        self._fails = fails
        self.is_ended = False

    def predict(self, query: Query) -> HttpResponse:
        return render(self._parts(query))[0]

    def _parts(self, query: Query) -> Iterator[str | bytes]:
        try:
            yield self._scene.content(query).body
            if self._fails:
                raise ValueError("no")
            yield " and more"
        finally:
            self.is_ended = True


@pytest.fixture
def yielding(scene: Scene) -> Yielding:
    made = Yielding(scene)
    scene.predict = made.predict
    return made


def begin(scene: Scene) -> Answer:
    payload = Payload(b"", takes_parts=True)
    return scene.api.handle(Invoke(scene.client.source("a"), payload, PATIENT_S, PATIENT_S, "r"))


def next_part(scene: Scene, *, is_abandoned: bool = False) -> Answer:
    return scene.api.handle(NextPart(scene.client.source("a"), "r", is_abandoned))


def test_what_a_class_yields_is_answered_in_parts(scene: Scene, yielding: Yielding) -> None:
    answers = [begin(scene), next_part(scene)]
    assert scene.leases() == 1
    answers.append(next_part(scene))

    predictions = [answer.prediction for answer in answers]
    assert [prediction and prediction.body for prediction in predictions] == [
        b"a/1",
        b" and more",
        b"",
    ]
    assert [answer.has_more for answer in answers] == [True, True, False]
    assert (yielding.is_ended, scene.leases()) == (True, 0)


def test_parts_that_nobody_wants_end_the_output_of_a_class(
    scene: Scene, yielding: Yielding
) -> None:
    begin(scene)

    assert next_part(scene, is_abandoned=True) == Answer()

    assert (yielding.is_ended, scene.leases()) == (True, 0)


def test_a_class_that_fails_in_the_middle_ends_the_output(scene: Scene) -> None:
    scene.predict = Yielding(scene, fails=True).predict
    begin(scene)

    assert isinstance(next_part(scene).error, ModelError)
    assert scene.leases() == 0


def test_other_calls_get_what_a_class_yields_when_it_is_complete(
    scene: Scene, yielding: Yielding
) -> None:
    assert scene.body("model=a") == b"a/1 and more"
    assert scene.invoke("a").prediction == Prediction(b"a/1 and more", "application/octet-stream")

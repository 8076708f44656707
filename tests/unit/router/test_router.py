import asyncio
import logging

import pytest

from modelyard.domain.endpoints import Endpoint, EndpointTable
from modelyard.domain.errors import (
    CapacityError,
    ConfigurationError,
    DependencyError,
    InputRejectedError,
    ModelAlreadyLoadedError,
    ModelCrashedError,
    ModelError,
    ModelNotLoadedError,
    ModelNotReadyError,
    ModelyardError,
    PredictionError,
    TargetModelNotFoundError,
    UnknownEndpointError,
)
from modelyard.domain.requests import Answer, CallApi, DescribeApi, Invoke, Load, Unload
from modelyard.domain.values import (
    ApiCall,
    HttpResponse,
    Invocation,
    ModelId,
    Payload,
    Prediction,
    RetryPolicy,
    Sample,
    TargetModel,
    Timings,
    WarmRequest,
)
from modelyard.router.rendezvous import rank_shards
from modelyard.router.router import ANSWER_TIMEOUT_S, CALL_TIMEOUT_S, Router, answer_timeout_s
from tests.fakes.backend import FakeBackend
from tests.fakes.clock import FakeClock
from tests.fakes.memory_queue import MemoryQueue
from tests.fakes.metrics import RecordingMetrics

MODEL = TargetModel("Houston_TX.tar.gz")
ENDPOINT = Endpoint("housing", "s3://models/", allow_code=True, sync_window_s=20.0)
PREDICTION = Prediction(b"[1.5]", "application/json")
ANSWER = Answer(prediction=PREDICTION, timings=Timings(cache_hit=True, predict_s=0.002))
REPLY = HttpResponse(200, (("content-type", "text/plain"),), b"setosa")
HEADERS = (("content-type", "application/json"), ("x-id", "7"))


class Scene:
    """A router and everything around it."""

    def __init__(self, shards: int = 4) -> None:
        self.backend = FakeBackend(shards)
        self.clock = FakeClock()
        self.queue = MemoryQueue(self.clock)
        self.metrics = RecordingMetrics()
        self.router = Router(
            endpoints=EndpointTable([ENDPOINT]),
            backend_of=lambda _: self.backend,
            warm_queue=self.queue,
            metrics=self.metrics,
            clock=self.clock,
        )

    def invoke(self, *, endpoint: str = "housing", attempts_left: int = 1) -> Prediction:
        retry = RetryPolicy(retries_429=True, attempts_left=attempts_left)
        payload = Payload(b"1,2", "text/csv")
        return asyncio.run(self.router.invoke(Invocation(endpoint, MODEL, payload, retry, "id-1")))

    def call(self, *, endpoint: str = "housing") -> HttpResponse:
        query = "model=Houston_TX.tar.gz"
        call = ApiCall(endpoint, MODEL, query, HEADERS, b"{}", "id-1")
        return asyncio.run(self.router.call(call))

    def describe(self) -> HttpResponse:
        return asyncio.run(self.router.describe("housing", 30.0))

    def load(self, *, fresh: bool = False) -> None:
        asyncio.run(self.router.load("housing", MODEL, fresh=fresh))

    def unload(self) -> None:
        asyncio.run(self.router.unload("housing", MODEL))


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_prediction_of_the_backend_is_returned(scene: Scene) -> None:
    scene.backend.script(MODEL, ANSWER)

    assert scene.invoke() == PREDICTION


def test_request_goes_to_the_models_first_choice_with_its_endpoints_rules(scene: Scene) -> None:
    scene.backend.script(MODEL, ANSWER)

    scene.invoke(attempts_left=3)

    (call,) = scene.backend.calls
    assert call.shard == rank_shards(ModelId("housing", MODEL), 4)[0]
    payload = Payload(b"1,2", "text/csv")
    assert call.request == Invoke(ENDPOINT.source(MODEL), payload, 20.0, 60.0, "id-1")


def test_model_has_a_minute_to_predict_after_the_window_it_has_to_load(scene: Scene) -> None:
    scene.backend.script(MODEL, ANSWER)

    scene.invoke()

    assert scene.backend.calls[0].timeout_s == ANSWER_TIMEOUT_S


def test_unknown_endpoint_is_not_asked_for(scene: Scene) -> None:
    with pytest.raises(UnknownEndpointError):
        scene.invoke(endpoint="churn")

    assert not scene.backend.calls
    assert not scene.metrics.samples


def test_model_that_is_not_ready_is_warmed(scene: Scene) -> None:
    scene.backend.script(MODEL, Answer(error=ModelNotReadyError("loading", 9.0)))

    with pytest.raises(ModelNotReadyError):
        scene.invoke()

    assert scene.queue.waiting() == [WarmRequest("housing", MODEL)]


def test_silent_model_is_at_fault_and_is_not_warmed(scene: Scene) -> None:
    scene.backend.script(MODEL, TimeoutError())

    with pytest.raises(ModelError, match="Your invocation timed out while waiting") as raised:
        scene.invoke()

    assert raised.value.original_status == 0
    assert not scene.queue.waiting()


def test_impatient_callers_make_one_warm_message(scene: Scene) -> None:
    scene.backend.script(MODEL, Answer(error=ModelNotReadyError("loading")))

    for _ in range(3):
        with pytest.raises(ModelNotReadyError):
            scene.invoke()

    assert len(scene.queue.waiting()) == 1


FAILURES = [
    PredictionError("boom"),
    InputRejectedError("no csv"),
    TargetModelNotFoundError("gone"),
    DependencyError("no repository"),
]


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
def test_answered_error_is_raised_without_warming(scene: Scene, error: ModelyardError) -> None:
    scene.backend.script(MODEL, Answer(error=error))

    with pytest.raises(type(error)) as raised:
        scene.invoke()

    assert raised.value is error
    assert not scene.queue.waiting()


@pytest.mark.parametrize("kind", [ModelCrashedError, CapacityError])
def test_failure_of_the_backend_is_raised_and_counted(
    scene: Scene, kind: type[ModelyardError]
) -> None:
    scene.backend.script(MODEL, kind("why"))

    with pytest.raises(kind):
        scene.invoke()

    assert scene.metrics.values("Invocations") == [1.0]


class BrokenQueue(MemoryQueue):
    def send(self, request: WarmRequest) -> None:
        raise DependencyError("the disk is full")


def test_client_is_told_to_retry_even_when_the_queue_is_out_of_reach(scene: Scene) -> None:
    scene.backend.script(MODEL, Answer(error=ModelNotReadyError("loading")))
    router = Router(
        endpoints=scene.router.endpoints,
        backend_of=lambda _: scene.backend,
        warm_queue=BrokenQueue(scene.clock),
        metrics=scene.metrics,
        clock=scene.clock,
    )
    invocation = Invocation("housing", MODEL, Payload(b""), RetryPolicy(True, 1), "id-1")

    with pytest.raises(ModelNotReadyError):
        asyncio.run(router.invoke(invocation))


def test_cache_hit_has_latencies_but_no_loading_wait(scene: Scene) -> None:
    scene.backend.script(MODEL, ANSWER)

    scene.invoke()

    assert {sample.name: sample.value for sample in scene.metrics.samples} == {
        "Invocations": 1.0,
        "Invocation4XXErrors": 0.0,
        "Invocation5XXErrors": 0.0,
        "InvocationModelErrors": 0.0,
        "NotReady": 0.0,
        "ModelCacheHit": 1.0,
        "ModelLatency": 2_000.0,
        "OverheadLatency": -2_000.0,  # the fake clock stands still
    }
    assert {sample.endpoint_name for sample in scene.metrics.samples} == {"housing"}


def test_cache_miss_has_its_wait_in_microseconds(scene: Scene) -> None:
    timings = Timings(cache_hit=False, wait_s=1.5, predict_s=0.0)
    scene.backend.script(MODEL, Answer(prediction=PREDICTION, timings=timings))

    scene.invoke()

    assert scene.metrics.values("ModelCacheHit") == [0.0]
    assert scene.metrics.values("ModelLoadingWaitTime") == [1_500_000.0]


@pytest.mark.parametrize(
    ("error", "client", "server", "model"),
    [
        (ModelNotReadyError("loading"), 1.0, 0.0, 0.0),
        (TargetModelNotFoundError("gone"), 1.0, 0.0, 0.0),
        (PredictionError("boom"), 1.0, 0.0, 1.0),
        (CapacityError("full"), 0.0, 1.0, 0.0),
        (ModelyardError("defect"), 0.0, 1.0, 0.0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_are_counted_by_their_status(
    scene: Scene, error: ModelyardError, client: float, server: float, model: float
) -> None:
    scene.backend.script(MODEL, Answer(error=error))

    with pytest.raises(ModelyardError):
        scene.invoke()

    assert scene.metrics.values("Invocation4XXErrors") == [client]
    assert scene.metrics.values("Invocation5XXErrors") == [server]
    assert scene.metrics.values("InvocationModelErrors") == [model]
    is_not_ready = isinstance(error, ModelNotReadyError)
    assert scene.metrics.values("NotReady") == [float(is_not_ready)]
    assert not scene.metrics.values("ModelCacheHit")


def test_samples_of_the_inference_side_are_passed_on(scene: Scene) -> None:
    sample = Sample("ModelLoadingTime", 7.0, "housing")
    scene.backend.script(MODEL, Answer(prediction=PREDICTION, samples=(sample,)))

    scene.invoke()

    assert sample in scene.metrics.samples


def test_invocation_is_logged_in_one_line_of_fields(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="modelyard.router.router")
    scene.backend.script(MODEL, ANSWER)

    scene.invoke()

    (record,) = caplog.records
    assert (record.message, vars(record)["outcome"]) == ("invocation", "hit")
    assert (vars(record)["target"], vars(record)["predict_ms"]) == (MODEL, 2.0)


def test_load_asks_the_shard_that_will_serve_the_model(scene: Scene) -> None:
    scene.backend.script(MODEL, Answer())

    scene.load(fresh=True)

    (call,) = scene.backend.calls
    assert call.shard == rank_shards(ModelId("housing", MODEL), 4)[0]
    assert call.request == Load(ENDPOINT.source(MODEL), 20.0, fresh=True)


def test_load_of_a_loaded_model_is_refused(scene: Scene) -> None:
    scene.backend.script(MODEL, Answer(error=ModelAlreadyLoadedError("loaded")))

    with pytest.raises(ModelAlreadyLoadedError):
        scene.load(fresh=True)


def test_load_that_takes_too_long_goes_on_by_a_warm_message(scene: Scene) -> None:
    scene.backend.script(MODEL, Answer(error=ModelNotReadyError("loading")))

    with pytest.raises(ModelNotReadyError):
        scene.load()

    assert scene.queue.waiting() == [WarmRequest("housing", MODEL)]


def test_unload_asks_the_shard_that_has_the_model(scene: Scene) -> None:
    scene.backend.script(MODEL, Answer())

    scene.unload()

    (call,) = scene.backend.calls
    assert call.shard == rank_shards(ModelId("housing", MODEL), 4)[0]
    assert call.request == Unload(ENDPOINT.source(MODEL))


def test_unload_of_a_model_that_is_not_loaded(scene: Scene) -> None:
    scene.backend.script(MODEL, Answer(error=ModelNotLoadedError("not loaded")))

    with pytest.raises(ModelNotLoadedError):
        scene.unload()


@pytest.mark.parametrize(("window_s", "expected_s"), [(2.0, 55.0), (25.0, 55.0), (60.0, 90.0)])
def test_sdk_that_hangs_up_after_a_minute_gets_the_answer_first(
    window_s: float, expected_s: float
) -> None:
    assert answer_timeout_s(window_s) == expected_s


def test_second_choice_is_asked_when_the_first_takes_no_more_calls(scene: Scene) -> None:
    scene.backend.script(MODEL, CapacityError("full"), Answer(prediction=Prediction(b"1")))

    scene.invoke()

    first, second = (call.shard for call in scene.backend.calls)
    assert first != second


def test_reply_of_an_api_is_returned_whole(scene: Scene) -> None:
    scene.backend.script(MODEL, Answer(response=REPLY))

    assert scene.call() == REPLY


def test_call_of_an_api_goes_where_its_model_is_with_its_endpoints_rules(scene: Scene) -> None:
    scene.backend.script(MODEL, Answer(response=REPLY))

    scene.call()

    (call,) = scene.backend.calls
    query = "model=Houston_TX.tar.gz"
    assert call.shard == rank_shards(ModelId("housing", MODEL), 4)[0]
    assert call.request == CallApi(ENDPOINT.source(MODEL), query, HEADERS, b"{}", 20.0, "id-1")
    assert call.timeout_s == CALL_TIMEOUT_S


def test_call_of_an_unknown_api(scene: Scene) -> None:
    with pytest.raises(UnknownEndpointError):
        scene.call(endpoint="iris")

    assert not scene.backend.calls


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
def test_error_of_a_call_is_raised_without_warming(scene: Scene, error: ModelyardError) -> None:
    scene.backend.script(MODEL, Answer(error=error))

    with pytest.raises(type(error)) as raised:
        scene.call()

    assert raised.value is error
    assert not scene.queue.waiting()


def test_class_that_does_not_answer_is_at_fault(scene: Scene) -> None:
    scene.backend.script(MODEL, TimeoutError())

    with pytest.raises(ModelError, match="Your invocation timed out"):
        scene.call()

    assert scene.metrics.values("Invocation5XXErrors") == [1.0]


def test_model_that_the_class_waited_for_is_the_one_that_is_warmed(scene: Scene) -> None:
    scene.backend.script(MODEL, Answer(error=ModelNotReadyError("loading", 9.0, "iris/3")))

    with pytest.raises(ModelNotReadyError):
        scene.call()

    assert scene.queue.waiting() == [WarmRequest("housing", TargetModel("iris/3"))]


def test_model_of_the_query_is_warmed_when_the_error_names_none(scene: Scene) -> None:
    scene.backend.script(MODEL, Answer(error=ModelNotReadyError("loading", 9.0)))

    with pytest.raises(ModelNotReadyError):
        scene.call()

    assert scene.queue.waiting() == [WarmRequest("housing", MODEL)]


@pytest.mark.parametrize(
    ("status", "client", "server"), [(200, 0.0, 0.0), (302, 0.0, 0.0), (418, 1.0, 0.0), (500, 0, 1)]
)
def test_calls_are_counted_by_the_status_of_their_reply(
    scene: Scene, status: int, client: float, server: float
) -> None:
    scene.backend.script(MODEL, Answer(response=HttpResponse(status)))

    assert scene.call().status == status
    assert scene.metrics.values("Invocations") == [1.0]
    assert scene.metrics.values("Invocation4XXErrors") == [client]
    assert scene.metrics.values("Invocation5XXErrors") == [server]
    assert scene.metrics.values("ModelCacheHit") == [1.0]


@pytest.mark.parametrize(
    ("error", "client", "server"),
    [
        (TargetModelNotFoundError("gone"), 1.0, 0.0),
        (ModelNotReadyError("loading"), 0.0, 1.0),
        (PredictionError("boom"), 0.0, 1.0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_of_calls_are_counted_by_the_status_a_caller_of_the_api_sees(
    scene: Scene, error: ModelyardError, client: float, server: float
) -> None:
    scene.backend.script(MODEL, Answer(error=error))

    with pytest.raises(ModelyardError):
        scene.call()

    assert scene.metrics.values("Invocation4XXErrors") == [client]
    assert scene.metrics.values("Invocation5XXErrors") == [server]


@pytest.mark.parametrize(("status", "outcome"), [(200, "hit"), (404, "status 404")])
def test_call_is_logged_with_what_came_of_it(
    scene: Scene, caplog: pytest.LogCaptureFixture, status: int, outcome: str
) -> None:
    caplog.set_level(logging.INFO, logger="modelyard.router.router")
    scene.backend.script(MODEL, Answer(response=HttpResponse(status)))

    scene.call()

    (record,) = caplog.records
    assert (vars(record)["outcome"], vars(record)["request_id"]) == (outcome, "id-1")


def test_summary_of_an_api_is_asked_for_with_the_callers_patience(scene: Scene) -> None:
    shard = rank_shards(ModelId("housing", TargetModel("")), 4)[0]
    scene.backend.script_survey(shard, Answer(response=REPLY))

    assert scene.describe() == REPLY
    (call,) = scene.backend.calls
    assert (call.request, call.timeout_s) == (DescribeApi("housing"), 30.0)


def test_api_whose_class_cannot_be_made_has_no_summary(scene: Scene) -> None:
    shard = rank_shards(ModelId("housing", TargetModel("")), 4)[0]
    scene.backend.script_survey(shard, Answer(error=ConfigurationError("line 3")))

    with pytest.raises(ConfigurationError, match="line 3"):
        scene.describe()


def test_summary_is_no_invocation(scene: Scene) -> None:
    shard = rank_shards(ModelId("housing", TargetModel("")), 4)[0]
    scene.backend.script_survey(shard, Answer(response=REPLY))

    scene.describe()

    assert scene.metrics.samples == []

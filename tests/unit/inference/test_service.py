"""The inference service over the real residence; only the models are fakes."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from modelyard.domain.errors import (
    ArtifactInvalidError,
    CapacityError,
    InputRejectedError,
    ModelAlreadyLoadedError,
    ModelCrashedError,
    ModelEndedError,
    ModelError,
    ModelNotLoadedError,
    ModelNotReadyError,
    ModelyardError,
    PredictionError,
    TargetModelNotFoundError,
)
from modelyard.domain.requests import PREDICT_LIMIT_S, Answer, Invoke, Load, Survey, Unload
from modelyard.domain.values import (
    ModelSource,
    ModelStatus,
    Payload,
    Prediction,
    Sample,
    TargetModel,
    Timings,
)
from modelyard.inference.disk.artifact_cache import ArtifactCache
from modelyard.inference.disk.tree import CacheTree
from modelyard.inference.residence.loading import Loader
from modelyard.inference.residence.model_cache import ModelCache
from modelyard.inference.residence.residence import Residence
from modelyard.inference.service import InferenceService
from modelyard.runtimes.base import LoadPlan
from tests.fakes.clock import FakeClock
from tests.fakes.memory_repository import MemoryRepository
from tests.fakes.metrics import RecordingMetrics

MODEL = TargetModel("echo")
Predict = Callable[[Payload], Prediction]


def echo(payload: Payload) -> Prediction:
    return Prediction(payload.body, payload.accept, payload.custom_attributes)


class Toy:
    memory_bytes = 10
    needs_files = False

    def __init__(self, scene: "Scene") -> None:
        self._scene = scene
        scene.clock.advance(scene.load_s)

    def predict(self, payload: Payload) -> Prediction:
        return self._scene.predict(payload)

    def close(self) -> None:
        pass


class Scene:
    """An inference service; `predict` of the scene is what every model does."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.metrics = RecordingMetrics()
        self.predict: Predict = echo
        self.load_s = 0.0
        self.loading = threading.Event()
        self.loading.set()
        self.repository = MemoryRepository({"echo": b"model", "broken": b"broken"})
        models = ModelCache(1_000, self.clock, self.metrics)
        artifacts = ArtifactCache(CacheTree(folder, 1 << 20), self.clock)
        loader = Loader(
            models=models,
            artifacts=artifacts,
            open_repository=lambda _: self.repository,
            plan_load=self.plan_load,
            load=lambda *_: Toy(self),
            metrics=self.metrics,
            clock=self.clock,
        )
        residence = Residence(
            models=models,
            artifacts=artifacts,
            open_repository=lambda _: self.repository,
            loader=loader,
            clock=self.clock,
        )
        self.service = InferenceService(residence, self.metrics, self.clock, 1)

    def plan_load(self, model_dir: Path, *, allow_code: bool, known: object = None) -> LoadPlan:
        assert self.loading.wait(timeout=30)
        if any(file.read_bytes() == b"broken" for file in model_dir.iterdir()):
            raise ArtifactInvalidError("no model in it")
        return LoadPlan("toy", model_dir, None, 10, allow_code)

    def invoke(self, name: str = MODEL, window_s: float = 30.0) -> Answer:
        payload = Payload(b"1,2", "text/csv", "text/csv", "trace=7")
        return self.service.handle(Invoke(source(name), payload, window_s, window_s))

    def load(self, *, fresh: bool = False) -> Answer:
        return self.service.handle(Load(source(MODEL), 30.0, fresh))


def source(name: str) -> ModelSource:
    return ModelSource("housing", TargetModel(name), "memory:")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def raising(error: BaseException) -> Predict:
    def predict(_: Payload) -> Prediction:
        raise error

    return predict


def test_payload_reaches_the_model_whole(scene: Scene) -> None:
    answer = scene.invoke()

    assert answer.error is None
    assert answer.prediction == Prediction(b"1,2", "text/csv", "trace=7")


def test_first_call_of_a_model_is_a_miss_the_second_a_hit(scene: Scene) -> None:
    hits = [scene.invoke().timings.cache_hit for _ in range(2)]

    assert hits == [False, True]


def test_time_in_the_model_is_told_apart_from_waiting_for_it(scene: Scene) -> None:
    def slow(payload: Payload) -> Prediction:
        scene.clock.advance(0.25)
        return echo(payload)

    scene.predict = slow
    scene.invoke()

    assert scene.invoke().timings == Timings(cache_hit=True, wait_s=0.0, predict_s=0.25)


@pytest.mark.parametrize("name", ["no-such-model", "broken"])
def test_error_of_the_residence_is_answered_as_data(scene: Scene, name: str) -> None:
    kinds = {"no-such-model": TargetModelNotFoundError, "broken": ArtifactInvalidError}

    answer = scene.invoke(name)

    assert isinstance(answer.error, kinds[name])
    assert answer.prediction is None


def test_model_that_is_not_loaded_within_the_window_is_not_ready(scene: Scene) -> None:
    scene.loading.clear()

    error = scene.invoke(window_s=0.0).error

    assert isinstance(error, ModelNotReadyError)
    assert "echo" in error.message
    scene.loading.set()
    assert scene.invoke().error is None


def test_models_own_error_is_answered_as_it_is(scene: Scene) -> None:
    rejected = InputRejectedError("3 features, not 2")
    scene.predict = raising(rejected)

    assert scene.invoke().error is rejected


def test_defect_of_a_predictor_is_a_prediction_error_without_its_text(scene: Scene) -> None:
    scene.predict = raising(RuntimeError("secret at /srv/models"))

    error = scene.invoke().error

    assert type(error) is PredictionError
    assert "secret" not in error.message


def test_model_out_of_memory_has_the_original_status_507(scene: Scene) -> None:
    scene.predict = raising(MemoryError())

    error = scene.invoke().error

    assert isinstance(error, ModelError)
    assert error.original_status == 507


def test_failed_prediction_leaves_the_model_usable(scene: Scene) -> None:
    scene.predict = raising(RuntimeError())
    scene.invoke()
    scene.predict = echo

    assert scene.invoke().prediction is not None


def test_our_own_defect_is_answered_without_its_text(scene: Scene) -> None:
    scene.repository = None  # type: ignore[assignment]

    error = scene.invoke().error

    assert type(error) is ModelyardError
    assert error.message == "internal error, see the log"


def test_load_makes_the_next_call_a_hit(scene: Scene) -> None:
    scene.load()

    assert scene.invoke().timings.cache_hit


def test_fresh_load_of_a_loaded_model_is_an_error(scene: Scene) -> None:
    first, second = scene.load(fresh=True), scene.load(fresh=True)

    assert first.error is None
    assert isinstance(second.error, ModelAlreadyLoadedError)


def test_load_may_be_repeated(scene: Scene) -> None:
    scene.load()

    assert scene.load().error is None


def test_unloaded_model_is_a_miss_again(scene: Scene) -> None:
    scene.load()

    answer = scene.service.handle(Unload(source(MODEL)))

    assert answer.error is None
    assert not scene.invoke().timings.cache_hit


def test_unload_of_what_is_not_loaded_is_an_error(scene: Scene) -> None:
    answer = scene.service.handle(Unload(source(MODEL)))

    assert isinstance(answer.error, ModelNotLoadedError)


def test_survey_tells_where_models_are(scene: Scene) -> None:
    scene.load()

    (found,) = scene.service.handle(Survey("housing", "memory:")).residences

    assert (found.model_id.target_model, found.status) == (MODEL, ModelStatus.LOADED)
    assert found.memory_bytes == 10


def test_samples_travel_once(scene: Scene) -> None:
    sample = Sample("ModelUnloadingTime", 1.0, "housing")
    scene.load()
    scene.metrics.drain()
    scene.metrics.record(sample)

    assert scene.invoke().samples == (sample,)
    assert scene.invoke().samples == ()


def test_samples_travel_with_errors_too(scene: Scene) -> None:
    sample = Sample("ModelUnloadingTime", 1.0, "housing")
    scene.metrics.record(sample)

    assert sample in scene.invoke("no-such-model").samples


def test_model_whose_process_ended_during_a_call_is_loaded_again_by_the_next(scene: Scene) -> None:
    scene.predict = raising(ModelCrashedError("exited"))
    assert isinstance(scene.invoke().error, ModelCrashedError)
    scene.predict = echo

    answer = scene.invoke()

    assert answer.error is None
    assert not answer.timings.cache_hit


def test_call_of_a_model_whose_process_had_ended_is_answered_by_a_new_one(scene: Scene) -> None:
    scene.invoke()
    outcomes = [ModelEndedError("ended")]

    def predict(payload: Payload) -> Prediction:
        if outcomes:
            raise outcomes.pop()
        return echo(payload)

    scene.predict = predict

    answer = scene.invoke()

    assert answer.error is None
    assert not answer.timings.cache_hit


def test_model_whose_process_ends_again_and_again_is_a_lack_of_capacity(scene: Scene) -> None:
    scene.predict = raising(ModelEndedError("ended"))

    assert isinstance(scene.invoke().error, CapacityError)


@pytest.mark.parametrize(("window_s", "limit_s"), [(25.0, 60.0), (120.0, 155.0)])
def test_prediction_may_take_longer_than_its_caller_waits(
    scene: Scene, window_s: float, limit_s: float
) -> None:
    seen = []

    def predict(payload: Payload) -> Prediction:
        seen.append(PREDICT_LIMIT_S.get())
        return echo(payload)

    scene.predict = predict
    scene.invoke(window_s=window_s)

    assert seen == [limit_s]


def test_the_wait_of_a_miss_has_its_parts(scene: Scene) -> None:
    scene.load_s = 2.0

    timings = scene.invoke().timings

    assert timings == Timings(cache_hit=False, wait_s=2.0, load_s=2.0)

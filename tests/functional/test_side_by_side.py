"""Calls side by side: many cold models at once, several predictions in one worker."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.functional import artifacts
from tests.functional.served import DirectoryModels
from tests.serving import Server, body

MODELS = 20
MEETING = """
    import time
    from pathlib import Path

    def model_fn(model_dir):
        place = Path({place!r})
        (place / "{name}").touch()
        deadline = time.monotonic() + 30
        while len(list(place.iterdir())) < {models}:
            assert time.monotonic() < deadline, "the other models are not being loaded"
            time.sleep(0.01)
        return "{name}"

    def predict_fn(data, model):
        return model

    def output_fn(prediction, accept):
        return '"' + prediction + '"'
"""


@pytest.mark.local_door("an execution environment has one call at a time")
def test_twenty_cold_models_are_loaded_at_the_same_time(tmp_path: Path) -> None:
    """Each load ends only when all twenty have begun."""
    place = tmp_path / "meeting"
    place.mkdir()
    repository = DirectoryModels(tmp_path / "models")
    names = [f"m{number}" for number in range(MODELS)]
    for name in names:
        source = MEETING.format(place=str(place), name=name, models=MODELS)
        repository.put(f"{name}.tar.gz", artifacts.script(source))

    with Server(repository.target, "--endpoint", "yard", "--allow-code") as server:
        sdk = server.client(retries={"total_max_attempts": 1}, max_pool_connections=MODELS)

        def call(name: str) -> str:
            answer = sdk.invoke_endpoint(
                EndpointName="yard", TargetModel=f"{name}.tar.gz", Body=b"[1]"
            )
            return body(answer)

        with ThreadPoolExecutor(MODELS) as pool:
            answers = list(pool.map(call, names))

    assert answers == names


MEETING_OF_TWO = """
    import threading

    both = threading.Barrier(2, timeout=30)

    def model_fn(model_dir):
        return None

    def predict_fn(data, model):
        both.wait()
        return data
"""


@pytest.mark.local_door("an execution environment has one call at a time")
def test_two_predictions_run_at_the_same_time_in_one_worker(tmp_path: Path) -> None:
    """Each prediction ends only when the other has begun."""
    repository = DirectoryModels(tmp_path / "models")
    repository.put("m.tar.gz", artifacts.script(MEETING_OF_TWO))

    with Server(
        repository.target, "--endpoint", "yard", "--allow-code", "--workers", "1"
    ) as server:
        sdk = server.client(retries={"total_max_attempts": 1})

        def call(value: int) -> list[int]:
            answer = sdk.invoke_endpoint(
                EndpointName="yard",
                TargetModel="m.tar.gz",
                ContentType="application/json",
                Body=str([value]),
            )
            return body(answer)

        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(call, [1, 2]))

    assert answers == [[1], [2]]

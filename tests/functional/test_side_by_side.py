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
    import time
    from pathlib import Path

    def model_fn(model_dir):
        return "{name}"

    def predict_fn(data, model):
        place = Path({place!r})
        (place / model).touch()
        deadline = time.monotonic() + 30
        while len(list(place.iterdir())) < 2:
            assert time.monotonic() < deadline, "the other model does not predict"
            time.sleep(0.01)
        return data
"""


@pytest.mark.local_door("an execution environment has one call at a time")
def test_two_models_predict_at_the_same_time_in_one_worker(tmp_path: Path) -> None:
    """Each prediction ends only when the other has begun."""
    place = tmp_path / "meeting"
    place.mkdir()
    repository = DirectoryModels(tmp_path / "models")
    for name in ("one", "two"):
        source = MEETING_OF_TWO.format(place=str(place), name=name)
        repository.put(f"{name}.tar.gz", artifacts.script(source))
    options = ("--endpoint", "yard", "--allow-code", "--workers", "1")

    with Server(repository.target, *options) as server:
        sdk = server.client(retries={"total_max_attempts": 1})

        def call(name: str) -> list[int]:
            answer = sdk.invoke_endpoint(
                EndpointName="yard",
                TargetModel=f"{name}.tar.gz",
                ContentType="application/json",
                Body=b"[7]",
            )
            return body(answer)

        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(call, ["one", "two"]))

    assert answers == [[7], [7]]

"""Outputs that a script makes in parts, as the stock SDK reads them."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EventStreamError

from modelyard.domain.values import ModelId, TargetModel
from modelyard.router.rendezvous import rank_shards
from tests.functional import artifacts
from tests.functional.served import DirectoryModels, Served
from tests.serving import Server, eventually

pytestmark = pytest.mark.local_door("on AWS an answer is complete when it leaves its function")

WORKERS = 2
SOURCE = """
    import pathlib, time

    def model_fn(model_dir):
        return None

    def transform_fn(model, data, content_type, accept):
        what, _, folder = data.partition(" ")
        return globals()[what](pathlib.Path(folder)), "text/plain"

    def gated(folder):
        yield "first "
        while not (folder / "go").exists():
            time.sleep(0.002)
        yield ""
        yield b"last"

    def failing(folder):
        yield "first "
        raise ValueError("no second part")

    def failing_first(folder):
        raise ValueError("no first part")
        yield

    def endless(folder):
        try:
            while True:
                yield "x" * 10_000
        finally:
            (folder / "ended").touch()
"""
TARGETS = [f"streams-{number}.tar.gz" for number in range(6)]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    repository = DirectoryModels(tmp_path_factory.mktemp("streams") / "models")
    for target in TARGETS:
        repository.put(target, artifacts.script(SOURCE))
    options = ("--endpoint", "code", "--allow-code", "--workers", str(WORKERS))
    with Server(repository.target, *options) as server:
        yield Served(server, repository)


@contextmanager
def begun(served: Served, target: str, what: str, folder: Path) -> Iterator[Iterator[Any]]:
    answer = served.sdk.invoke_endpoint_with_response_stream(
        EndpointName="code",
        CustomAttributes=f"modelyard.target_model={target}",
        ContentType="text/csv",
        Body=f"{what} {folder}",
    )
    assert answer["ContentType"] == "text/plain"
    with closing(answer["Body"]) as events:
        yield iter(events)


def text(event: Any) -> str:
    part: bytes = event["PayloadPart"]["Bytes"]
    return part.decode()


def test_parts_arrive_before_the_last_is_made_from_any_worker(
    served: Served, tmp_path: Path
) -> None:
    homes = set()
    for target in TARGETS:
        homes.add(rank_shards(ModelId("code", TargetModel(target)), WORKERS)[0])
        (tmp_path / "go").unlink(missing_ok=True)

        with begun(served, target, "gated", tmp_path) as events:
            first = text(next(events))
            (tmp_path / "go").touch()
            others = list(map(text, events))

        assert [first, *others] == ["first ", "last"]
    assert len(homes) == WORKERS


def test_an_error_in_the_middle_is_a_stream_error(served: Served, tmp_path: Path) -> None:
    with begun(served, TARGETS[0], "failing", tmp_path) as events:
        first = text(next(events))
        with pytest.raises(EventStreamError) as raised:
            next(events)

    error = raised.value.response["Error"]
    assert first == "first "
    assert error["Code"] == "ModelStreamError"
    assert error["Message"].startswith("ValueError: no second part")


def test_an_error_before_the_first_part_is_that_of_the_call(served: Served, tmp_path: Path) -> None:
    refused = pytest.raises(served.sdk.exceptions.ModelError, match="no first part")

    with refused, begun(served, TARGETS[0], "failing_first", tmp_path):
        pass


@pytest.mark.parametrize("target", TARGETS)
def test_a_client_that_leaves_ends_the_output(served: Served, tmp_path: Path, target: str) -> None:
    with begun(served, target, "endless", tmp_path) as events:
        assert text(next(events)) == "x" * 10_000

    eventually((tmp_path / "ended").exists)
    (tmp_path / "go").touch()
    assert whole(served, target, tmp_path) == "first last"


def test_other_operations_get_the_output_when_it_is_complete(
    served: Served, tmp_path: Path
) -> None:
    (tmp_path / "go").touch()

    assert whole(served, TARGETS[0], tmp_path) == "first last"


def whole(served: Served, target: str, folder: Path) -> str:
    answer = served.sdk.invoke_endpoint(
        EndpointName="code",
        TargetModel=target,
        ContentType="text/csv",
        Body=f"gated {folder}",
    )
    return str(answer["Body"].read().decode())

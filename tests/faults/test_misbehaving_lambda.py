"""Functions that are throttled, time out, crash after a load or answer nonsense; real runtimes."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from modelyard.aws.function_table import EndpointFunctions
from modelyard.aws.lambda_backend import LambdaBackend
from modelyard.domain.endpoints import Endpoint
from modelyard.domain.errors import (
    CapacityError,
    DependencyError,
    ModelCrashedError,
    ModelError,
    ModelNotReadyError,
    ModelyardError,
)
from modelyard.domain.requests import Answer, Load
from modelyard.domain.values import ModelSource, TargetModel
from tests.fakes.clock import FakeClock
from tests.functional.emulated_lambda import EmulatedLambda

ENDPOINT = Endpoint("housing", "s3://models/")

FUNCTIONS = {
    "crashes-once": """
        import os, pathlib
        def handler(event, context):
            mark = pathlib.Path(os.environ["MARKS"], "crashed")
            if not mark.exists():
                mark.touch()
                os._exit(1)  # the model is loaded, and takes its runtime down
            return GOOD
        """,
    "crashes": """
        import os
        def handler(event, context):
            os._exit(1)
        """,
    "times-out-once": """
        import os, pathlib, time
        def handler(event, context):
            mark = pathlib.Path(os.environ["MARKS"], "timed-out")
            if not mark.exists():
                mark.touch()
                time.sleep(60)
            return GOOD
        """,
    "is-slow": """
        import os, pathlib, time
        def handler(event, context):
            mark = pathlib.Path(os.environ["MARKS"], "loaded")
            if not mark.exists():
                time.sleep(2)
                mark.touch()
            return GOOD
        """,
    "raises": """
        def handler(event, context):
            raise ValueError("arn:aws:secret")
        """,
    "answers-nonsense": """
        def handler(event, context):
            return {"hello": "world"}
        """,
    "answers-nothing": """
        def handler(event, context):
            return None
        """,
}


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedLambda]:
    from modelyard.aws.lambda_payload import render_answer_members

    functions = EmulatedLambda(tmp_path_factory.mktemp("functions"))
    marks = tmp_path_factory.mktemp("marks")
    good = f"GOOD = {render_answer_members(Answer())!r}\n"
    for name, code in FUNCTIONS.items():
        timeout_s = 1.5 if name.startswith("times-out") else 20.0
        lines = good + "\n".join(line[8:] for line in code.splitlines())
        functions.define(f"{name}-0", lines, timeout_s=timeout_s, environ={"MARKS": str(marks)})
    busy = good + "import time\ndef handler(event, context):\n    time.sleep(1)\n    return GOOD\n"
    functions.define("busy-0", busy, concurrency=1)
    with functions:
        yield functions


class Shard:
    """The backend of one function."""

    def __init__(self, functions: EmulatedLambda, name: str) -> None:
        self.clock = FakeClock()
        self._functions = functions
        deployed = EndpointFunctions(ENDPOINT, name)
        self.backend = LambdaBackend(deployed, self._reading_for, self.clock)

    async def load(self, window_s: float = 15.0) -> Answer:
        source = ModelSource("housing", TargetModel("m"), "s3://models/")
        return await self.backend.call(0, Load(source, window_s), window_s)

    def outcome(self, window_s: float = 15.0) -> Answer | ModelyardError:
        try:
            return asyncio.run(self.load(window_s))
        except ModelyardError as error:
            return error

    def _reading_for(self, timeout_s: float) -> Any:
        import boto3
        from botocore.config import Config

        from tests.serving import KEYS, REGION

        session = boto3.session.Session(region_name=REGION, **KEYS)
        config = Config(retries={"total_max_attempts": 1}, read_timeout=timeout_s)
        return session.client("lambda", endpoint_url=self._functions.url, config=config)


def test_crash_after_the_load_is_the_models_and_the_next_call_is_served(
    functions: EmulatedLambda,
) -> None:
    shard = Shard(functions, "crashes-once")

    assert isinstance(shard.outcome(), ModelCrashedError)
    assert shard.outcome() == Answer()


def test_model_that_crashes_again_and_again_is_barred_and_tried_again_later(
    functions: EmulatedLambda,
) -> None:
    shard = Shard(functions, "crashes")
    outcomes = [shard.outcome() for _ in range(8)]
    called = len(functions.lines)

    barred = shard.outcome()
    assert len(functions.lines) == called
    assert {type(outcome) for outcome in [*outcomes, barred]} == {ModelCrashedError}
    assert isinstance(barred, ModelCrashedError)
    assert "not tried again" in barred.message

    shard.clock.advance(24 * 3600)
    later = shard.outcome()
    assert isinstance(later, ModelCrashedError)
    assert "not tried again" not in later.message


def test_function_that_times_out_is_a_model_error_and_the_next_call_is_served(
    functions: EmulatedLambda,
) -> None:
    shard = Shard(functions, "times-out-once")
    error = shard.outcome()

    assert isinstance(error, ModelError)
    assert error.original_status == 0
    assert shard.outcome() == Answer()


def test_load_that_outlasts_the_callers_window_is_not_ready_and_goes_on(
    functions: EmulatedLambda, tmp_path: Path
) -> None:
    shard = Shard(functions, "is-slow")
    assert isinstance(shard.outcome(window_s=0.2), ModelNotReadyError)

    give_up_at = time.monotonic() + 20
    while not isinstance(shard.outcome(), Answer):
        assert time.monotonic() < give_up_at


def test_throttled_function_is_full_and_serves_when_it_is_not(functions: EmulatedLambda) -> None:
    routers = [Shard(functions, "busy") for _ in range(4)]
    with ThreadPoolExecutor(len(routers)) as storm:
        outcomes = list(storm.map(Shard.outcome, routers))

    assert {type(outcome) for outcome in outcomes} == {Answer, CapacityError}
    assert routers[0].outcome() == Answer()


@pytest.mark.parametrize("name", ["raises", "answers-nonsense", "answers-nothing"])
def test_function_that_is_none_of_ours_is_a_typed_error_that_gives_nothing_away(
    functions: EmulatedLambda, name: str
) -> None:
    error = Shard(functions, name).outcome()

    assert isinstance(error, ModelyardError)
    assert "secret" not in error.message
    assert "hello" not in error.message


def test_lambda_that_is_not_there_is_a_dependency_error(functions: EmulatedLambda) -> None:
    error = Shard(functions, "no-such-function").outcome()

    assert isinstance(error, DependencyError)

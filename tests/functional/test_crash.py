"""Workers and models' processes that are killed under traffic: only the killer's callers notice."""

import random
import threading
from collections.abc import Iterator

import psutil
import pytest
from botocore.exceptions import ClientError

from tests.functional import artifacts
from tests.functional.served import DirectoryModels
from tests.serving import Server, body, eventually

pytestmark = pytest.mark.local_door("about worker processes; functions have environments")

INNOCENTS = 30
CLIENTS = 6
KILLER = """
    import ctypes, os, signal

    def model_fn(model_dir):
        {at_load}
        return None

    def input_fn(data, content_type):
        return data

    def predict_fn(data, model):
        {at_predict}
        return data

    def output_fn(prediction, accept):
        return prediction
"""
DEATHS = {
    "killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "segfault": "ctypes.string_at(0)",
    "exit": "os._exit(3)",
}


def killer(*, at_load: str = "pass", at_predict: str = "pass") -> bytes:
    return artifacts.script(KILLER.format(at_load=at_load, at_predict=at_predict))


class Traffic:
    """Clients that call innocent models all the time and keep what went wrong."""

    def __init__(self, server: Server) -> None:
        # A call that a worker was answering when it was killed gets a 503, which SDKs repeat.
        self._clients = [server.client("standard") for _ in range(CLIENTS)]
        self._threads = [
            threading.Thread(target=self._call, args=(number,)) for number in range(CLIENTS)
        ]
        self._ended = threading.Event()
        self.answers = 0
        self.failures: list[str] = []

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        self.flow()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def flow(self, answers: int = 100) -> None:
        """Return after some more answers."""
        wanted = self.answers + answers
        eventually(lambda: self.answers >= wanted, timeout_s=60)

    def _call(self, number: int) -> None:
        chosen = random.Random(number)
        while not self._ended.is_set():
            model = chosen.randrange(INNOCENTS)
            try:
                answer = self._clients[number].invoke_endpoint(
                    EndpointName="yard",
                    TargetModel=f"m{model}.onnx",
                    ContentType="text/csv",
                    Body=b"0,0,0,0",
                )
                if body(answer) != [[model]]:
                    self.failures.append(f"m{model} got another's answer")
            except Exception as error:
                self.failures.append(f"m{model}: {error!r}")
            self.answers += 1


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of innocent models, and a killer for each test."""
    repository = DirectoryModels(tmp_path_factory.mktemp("crash") / "models")
    repository.put("repeater.tar.gz", killer(at_predict=DEATHS["exit"]))
    for model in range(INNOCENTS):
        repository.put(f"m{model}.onnx", artifacts.onnx(slope=1.0, bias=model))
    for name, death in DEATHS.items():
        repository.put(f"{name}-at-load.tar.gz", killer(at_load=death))
        repository.put(f"{name}-at-predict.tar.gz", killer(at_predict=death))
    options = ("--endpoint", "yard", "--allow-code", "--workers", "2")
    with Server(repository.target, *options) as server:
        yield server


def workers_of(server: Server) -> list[psutil.Process]:
    return psutil.Process(server.pid).children()


def test_workers_killed_from_outside_are_replaced_unnoticed(server: Server) -> None:
    with Traffic(server) as traffic:
        for _ in range(4):
            victim = random.choice(workers_of(server))
            victim.kill()
            traffic.flow()

    assert traffic.failures == []
    assert len(workers_of(server)) == 2


@pytest.mark.parametrize("moment", ["at-load", "at-predict"])
@pytest.mark.parametrize("death", DEATHS)
def test_model_that_kills_its_process_hurts_only_its_callers(
    server: Server, death: str, moment: str
) -> None:
    sdk = server.client(retries={"total_max_attempts": 1})
    workers = workers_of(server)

    with Traffic(server) as traffic:
        with pytest.raises(ClientError) as caught:
            sdk.invoke_endpoint(
                EndpointName="yard",
                TargetModel=f"{death}-{moment}.tar.gz",
                ContentType="application/octet-stream",
                Body=b"1",
            )
        traffic.flow()

    assert traffic.failures == []
    assert workers_of(server) == workers
    answer = caught.value.response
    assert answer["Error"]["Code"] == "ModelError"
    assert "model process exited" in answer["OriginalMessage"]
    assert answer["OriginalStatusCode"] == 0


def test_model_that_ends_its_process_at_every_call_is_tried_again_and_ends_no_worker(
    server: Server,
) -> None:
    sdk = server.client(retries={"total_max_attempts": 1})
    workers = workers_of(server)

    for _ in range(4):
        with pytest.raises(ClientError, match="model process exited"):
            sdk.invoke_endpoint(EndpointName="yard", TargetModel="repeater.tar.gz", Body=b"1")

    assert workers_of(server) == workers

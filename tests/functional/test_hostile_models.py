"""Models that do what no model should: their callers get a typed error, others get answers.

What ends a worker's process is in `test_crash.py`, what is wrong with an archive in
`test_bad_artifacts.py`, the limits of a worker in `tests/unit/local/processes/test_guard.py`.
"""

import pickle
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tests.functional import artifacts
from tests.functional.served import DirectoryModels, Served
from tests.models import archives
from tests.serving import Server, body, eventually

SECRET = "hunter2-in-the-environment"
GOOD = "good.onnx"
AT_LOAD = """
    import asyncio, os, signal, sys, threading, time

    def model_fn(model_dir):
        {statement}
        return None

    def transform_fn(model, data, content_type, accept):
        return "1"
"""
AT_PREDICT = """
    import asyncio, os, signal, sys, threading, time

    class Odd(BaseException):
        def __str__(self):
            raise ValueError("no words")

    def model_fn(model_dir):
        return None

    def transform_fn(model, data, content_type, accept, context):
        {statement}
        return "1"
"""
RAISED = {
    "sys.exit": "sys.exit(3)",
    "cancelled": "raise asyncio.CancelledError()",
    "generator exit": "raise GeneratorExit()",
    "interrupt": "raise KeyboardInterrupt()",
    "recursion": "f = lambda: f(); f()",
    "memory": "bytearray(1 << 60)",
    "an answer of the wrong kind": "return object()",
    "an illegal content type": "return b'1', 'text/plain\\r\\nset-cookie: a=b'",
    "illegal attributes": "context.set_response_custom_attributes('a\\r\\nset-cookie: a=b')",
    "an answer without end": "return b'x' * (70 << 20)",
    "a long text": "raise ValueError('x' * (32 << 20))",
}
OF_ANSWERS = ("an answer", "an illegal", "illegal")
HARMLESS = {
    "prints": "print('says', 'x' * 100_000); sys.stderr.write('cries')",
    "closes its output": "sys.stdout.close(); sys.stderr.close()",
    "starts threads": (
        "[threading.Thread(target=time.sleep, args=(600,), daemon=d).start() for d in (0, 1) * 20]"
    ),
    "leaks": "globals().setdefault('leak', []).append(bytearray(1 << 20))",
    "opens files": "globals().setdefault('leak', []).append([open(os.devnull) for _ in range(50)])",
    "changes signals": "signal.getsignal(signal.SIGTERM)",
    "leaves its folder": "os.chdir('/')",
    "spoils the environment": "os.environ.clear()",
}


class ExitsWhenOpened:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit(3)",)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    repository = DirectoryModels(tmp_path_factory.mktemp("hostile") / "models")
    repository.put(GOOD, artifacts.onnx(slope=0.0, bias=5.0))
    options = ("--endpoint", "code", "--allow-code", "--workers", "1", "--memory", "64MiB")
    with Server(repository.target, *options, environment={"PRIVATE": SECRET}) as server:
        yield Served(server, repository)
        assert SECRET not in server.log


@pytest.fixture(autouse=True)
def others_are_answered(served: Served) -> Iterator[None]:
    """Whatever a test's model did, another model of the same worker is answered afterwards."""
    yield
    assert body(served.invoke(GOOD, b"0,0,0,0", "code")) == [[5.0]]
    assert served.server.half_written() == []


def refused(served: Served, target: str) -> dict[str, Any]:
    """Return the answer to a call that must fail as the model's fault."""
    with pytest.raises(served.sdk.exceptions.ModelError) as caught:
        served.invoke(target, b"1", "code")
    answer: dict[str, Any] = caught.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert len(answer["Error"]["Message"]) <= 2048
    assert "set-cookie" not in answer["ResponseMetadata"]["HTTPHeaders"]
    return answer


def worker_of(served: Served) -> int:
    server = psutil.Process(served.server.pid)
    eventually(lambda: len(server.children()) == 1)  # a worker that died is being replaced
    return server.children()[0].pid


@pytest.mark.parametrize(
    ("moment", "statement"),
    [
        *(pytest.param(AT_PREDICT, does, id=f"predict: {name}") for name, does in RAISED.items()),
        *(
            pytest.param(AT_LOAD, does, id=f"load: {name}")
            for name, does in RAISED.items()
            if not name.startswith(OF_ANSWERS)
        ),
    ],
)
def test_whatever_a_script_raises_is_a_model_error_and_ends_no_worker(
    served: Served, moment: str, statement: str
) -> None:
    before = worker_of(served)
    target = served.publish(artifacts.script(moment.format(statement=statement)))

    answer = refused(served, target)

    assert answer["OriginalStatusCode"] in (500, 507)
    assert worker_of(served) == before


def test_exception_without_words_is_a_model_error(served: Served) -> None:
    target = served.publish(artifacts.script(AT_PREDICT.format(statement="raise Odd()")))

    assert refused(served, target)["OriginalStatusCode"] == 500


def test_pickle_that_ends_the_process_when_it_is_opened_is_a_model_error(served: Served) -> None:
    before = worker_of(served)
    packed = archives.tar_gz_of({"model.pkl": pickle.dumps(ExitsWhenOpened())})

    refused(served, served.publish(packed))

    assert worker_of(served) == before


@pytest.mark.parametrize("statement", HARMLESS.values(), ids=HARMLESS)
def test_bad_manners_are_answered_like_good_ones(served: Served, statement: str) -> None:
    target = served.publish(artifacts.script(AT_PREDICT.format(statement=statement)))

    assert [body(served.invoke(target, b"1", "code")) for _ in range(3)] == [1, 1, 1]


def test_model_that_closes_every_descriptor_costs_its_callers_only(served: Served) -> None:
    target = served.publish(
        artifacts.script(AT_PREDICT.format(statement="os.closerange(0, 4096); os._exit(1)"))
    )

    refused(served, target)


def test_model_that_allocates_without_end_is_ended_and_its_worker_is_not(served: Served) -> None:
    before = worker_of(served)
    hoard = "held = [bytearray(b'x') * (16 << 20) for _ in range(400)]"
    target = served.publish(artifacts.script(AT_PREDICT.format(statement=hoard)))

    answer = refused(served, target)

    assert "model process exited" in answer["OriginalMessage"]
    assert answer["OriginalStatusCode"] == 507
    assert re.search(r"guest ended model=code/\S+ reason='it uses \d+ bytes", served.server.log)
    assert worker_of(served) == before


@pytest.mark.parametrize(
    "fork",
    [
        "os._exit(0) if os.fork() else time.sleep(600)",
        "os._exit(0) if os.fork() else (os.setsid(), time.sleep(600))",
        "os._exit(0) if os.fork() or os.fork() or os.setsid() else time.sleep(600)",
    ],
    ids=["child", "session", "daemon"],
)
def test_processes_that_a_model_starts_end_with_it(served: Served, fork: str) -> None:
    target = served.publish(artifacts.script(AT_PREDICT.format(statement=fork)))
    before = descendants_of(served)

    refused(served, target)

    eventually(lambda: descendants_of(served) <= before)


def descendants_of(served: Served) -> set[int]:
    return {one.pid for one in psutil.Process(worker_of(served)).children(recursive=True)}


def test_child_that_returns_from_its_call_answers_nobody(served: Served) -> None:
    target = served.publish(artifacts.script(AT_PREDICT.format(statement="os.fork()")))

    assert [body(served.invoke(target, b"1", "code")) for _ in range(3)] == [1, 1, 1]


def test_two_predictions_that_never_end_hold_up_nobody(served: Served, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    target = served.publish(artifacts.slow_to_predict(gate))
    for _ in range(3):
        with pytest.raises(Exception, match="Read timeout"):
            impatient(served).invoke_endpoint(EndpointName="code", TargetModel=target, Body=b"1")

    answers = [body(served.invoke(GOOD, b"0,0,0,0", "code")) for _ in range(5)]

    gate.touch()
    assert answers == [[[5.0]]] * 5


def impatient(served: Served) -> Any:
    return served.server.client(read_timeout=1, retries={"total_max_attempts": 1})


def test_errors_of_models_tell_callers_no_folder_of_the_server(served: Served) -> None:
    whispering = "open(os.path.join(os.path.dirname(__file__), 'not', 'there'))"
    target = served.publish(artifacts.script(AT_PREDICT.format(statement=whispering)))

    answer = refused(served, target)

    for folder in (str(served.server.cache_dir), "/site-packages/", "/layers/", "/tmp/"):
        assert folder not in str(answer["Error"])
        assert folder not in answer["OriginalMessage"]


CLASS = """
    import os, sys, threading, time

    class PythonPredictor:
        def __init__(self, config):
            pass

        def predict(self, payload, query_params):
            exec(payload["run"])
            return {"ok": True}
"""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Cortex API that runs what it is sent, beside another."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "predictor.py").write_text(textwrap.dedent(CLASS))
    resources = [
        {"name": n, "kind": "RealtimeAPI", "predictor": {"type": "python", "path": "predictor.py"}}
        for n in ("hostile", "innocent")
    ]
    (folder / "cortex.yaml").write_text(yaml.safe_dump(resources))
    with Server(folder / "cortex.yaml", "--memory", "64MiB", "--workers", "1") as server:
        yield server


@pytest.mark.parametrize(
    "statement",
    [
        *("sys.exit(3)", "raise GeneratorExit()", "raise MemoryError()", "os._exit(3)"),
        *("os.abort()", "os.closerange(0, 4096); os._exit(1)"),
        "held = [bytearray(b'x') * (16 << 20) for _ in range(400)]",
    ],
)
def test_class_that_misbehaves_costs_its_own_callers_only(api: Server, statement: str) -> None:
    refused = api.http.post("/hostile", json={"run": statement})
    other = api.http.post("/innocent", json={"run": "pass"})

    assert (refused.status_code, refused.text) == (500, "internal server error")
    assert other.json() == {"ok": True}
    eventually(lambda: api.http.post("/hostile", json={"run": "pass"}).status_code == 200)

"""Cortex APIs in service: logs, crashes, threads, packages, and the verbs of other endpoints."""

import json
import re
import signal
import subprocess
import threading
import uuid
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner, Result

from modelyard.cli.main import app
from tests.functional import artifacts
from tests.functional.cortex_project import JSON_MODELS, MARK, Project, marked, post
from tests.serving import COMMANDS, Server, body, clean_environment, eventually

MIB = 1 << 20
LOG_TIME = re.compile(r"^[-0-9]+ [.:0-9]+ ")
TALKATIVE = """
    import logging, os, sys

    print("told at import")

    class PythonPredictor:
        def __init__(self, config):
            logging.getLogger("shop").info("told by a logger")

        def predict(self, payload):
            print("told by print")
            print("two\\nlines", file=sys.stderr)
            for percent in range(0, 101, 10):
                print(f"\\rtold {percent} %", end="", file=sys.stderr, flush=True)
            print(file=sys.stderr)
            os.write(1, b"told by native code\\n")
            return "silence"
"""
MORTAL = """
    import ctypes, os, signal

    DEATHS = {
        "exit": lambda: os._exit(3),
        "segfault": lambda: ctypes.string_at(0),
        "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    }

    class PythonPredictor:
        def __init__(self, config):
            pass

        def predict(self, query_params):
            if "death" in query_params:
                DEATHS[query_params["death"]]()
            return os.getpid()
"""
SURROUNDINGS = """
    import os, pathlib

    import common, helpers

    class PythonPredictor:
        def __init__(self, config):
            self.at_start = pathlib.Path("settings.txt").read_text()

        def predict(self):
            return {
                "helpers": helpers.WHO,
                "common": common.WHO,
                "env": {name: os.environ.get(name) for name in ("WHO", "ONLY_A")},
                "file": self.at_start,
                "folder": os.getcwd(),
            }
"""
COUNTING = """
    import pathlib, threading, time

    class PythonPredictor:
        def __init__(self, config):
            self.made_in = threading.get_ident()
            self.lock, self.running, self.most = threading.Lock(), 0, 0

        def predict(self, payload):
            with self.lock:
                self.running += 1
                self.most = max(self.most, self.running)
                pathlib.Path(payload["folder"], f"running-{self.running}").touch()
            while not pathlib.Path(payload["folder"], "gate").exists():
                time.sleep(0.01)
            with self.lock:
                self.running -= 1
            return [self.most, threading.get_ident() == self.made_in]
"""
REFUSING = """
    from starlette.exceptions import HTTPException
    from starlette.responses import PlainTextResponse

    class PythonPredictor:
        def __init__(self, config):
            pass

        def predict(self, payload, query_params, headers):
            if payload == b"teapot":
                raise HTTPException(418, "short and stout")
            said = headers.get("x-amzn-sagemaker-custom-attributes", "nothing")
            attributes = {"X-Amzn-SageMaker-Custom-Attributes": said}
            return PlainTextResponse(query_params.get("model", "no model"), headers=attributes)
"""
LENGTH = """
    class PythonPredictor:
        def __init__(self, config):
            pass

        def predict(self, payload):
            return payload if payload[:4] == b"echo" else str(len(payload))
"""
GATED = """
    import pathlib, time

    class PythonPredictor:
        def __init__(self, config, python_client):
            self.client = python_client

        def load_model(self, model_path):
            gate = pathlib.Path(model_path, "gate").read_text()
            pathlib.Path(f"{gate}.began").touch()
            while not pathlib.Path(gate).exists():
                time.sleep(0.01)
            return "loaded"

        def predict(self, query_params):
            return self.client.get_model(query_params["model"])
"""
SLOW_TO_MAKE = """
    import pathlib, time

    class PythonPredictor:
        def __init__(self, config):
            pathlib.Path(f"{config['gate']}.began").touch()
            while not pathlib.Path(config["gate"]).exists():
                time.sleep(0.01)

        def predict(self):
            return "made"
"""
VERSION_OF_TINYPKG = """
    import tinypkg

    class PythonPredictor:
        def __init__(self, config):
            pass

        def predict(self):
            return tinypkg.VERSION
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of one project with many APIs and a multi-model endpoint."""
    project = Project(tmp_path_factory.mktemp("project"))
    for name in ("a", "b"):
        project.write(f"{name}/helpers.py", f"WHO = {name!r}")
    project.write("common.py", "WHO = 'both'")
    project.write("settings.txt", "found")
    project.write("archives/house.tar.gz", artifacts.house(5.0))
    project.slope("models/near/1", 1)
    project.slope("models/near/10", 10)
    project.slope("models/far", 3)
    project.api("shop", TALKATIVE)
    project.api("mortal", MORTAL)
    project.api("brittle", MORTAL)
    project.api("steady", MORTAL)
    project.api("in-a", SURROUNDINGS, python_path="a", env={"WHO": "a", "ONLY_A": "1"})
    project.api("in-b", SURROUNDINGS, python_path="b", env={"WHO": "b"})
    project.api("single", COUNTING)
    project.api("triple", COUNTING, threads_per_process=3)
    project.api("refusing", REFUSING)
    project.api("length", LENGTH)
    project.api("slopes", JSON_MODELS, models={"dir": "models"})
    models = {"path": "archives"}
    project.resource({"name": "houses", "kind": "MultiModelEndpoint", "models": models})
    with project.served() as server:
        yield server


@pytest.fixture(scope="module")
def sdk(server: Server) -> Any:
    """A stock client that does not retry."""
    return server.client(retries={"total_max_attempts": 1})


def invoke(sdk: Any, endpoint: str, content: bytes, **members: str) -> Any:
    members = {"ContentType": "application/json"} | members
    return sdk.invoke_endpoint(EndpointName=endpoint, Body=content, **members)


def failure(sdk: Any, endpoint: str, content: bytes, **members: str) -> dict[str, Any]:
    with pytest.raises(ClientError) as caught:
        invoke(sdk, endpoint, content, **members)
    response: dict[str, Any] = caught.value.response
    return response


def run(server: Server, verb: str, *arguments: str) -> Result:
    runner = CliRunner(env={"COLUMNS": "200"})
    return runner.invoke(app, [verb, *arguments, "--url", server.url])


def write_wheel(folder: Path, name: str, number: str) -> None:
    """Write the smallest wheel pip takes: a module that knows its version."""
    info = f"{name}-{number}.dist-info"
    wheel = "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files = {
        f"{name}.py": f"VERSION = {number!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n",
        f"{info}/WHEEL": wheel,
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / f"{name}-{number}-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)


class Traffic:
    """A client that calls the steady API all the time and keeps what it was answered."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._thread = threading.Thread(target=self._call)
        self._ended = threading.Event()
        self.answers: list[str] = []

    def __enter__(self) -> "Traffic":
        self._thread.start()
        self.flow()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def flow(self, answers: int = 20) -> None:
        """Return after some more answers."""
        wanted = len(self.answers) + answers
        eventually(lambda: len(self.answers) >= wanted)

    def _call(self) -> None:
        while not self._ended.is_set():
            answer = post(self._server, "/steady")
            self.answers.append(f"{answer.status_code} {answer.text}")


@pytest.mark.local_door("functions write their log as JSON records, under their own name")
def test_what_user_code_prints_and_logs_is_in_the_log_with_the_name_of_its_api(
    server: Server,
) -> None:
    answer = post(server, "/shop")
    assert answer.text == "silence"
    eventually(lambda: "told by native code" in server.log)
    ours = f" request_id={answer.headers['x-amzn-requestid']}"
    lines = [LOG_TIME.sub("", line) for line in server.log.splitlines() if "told" in line]
    assert lines == [
        "INFO    shop told at import",
        "INFO    shop told by a logger",
        "INFO    shop told by print" + ours,
        "WARNING shop told 100 %" + ours,
        "told by native code",
    ]
    assert f"WARNING shop two{ours}\n" in server.log
    assert f"WARNING shop lines{ours}\n" in server.log


@pytest.mark.parametrize("death", ["exit", "segfault", "killed"])
def test_a_class_that_kills_its_process_hurts_only_its_caller(server: Server, death: str) -> None:
    steady, before = post(server, "/steady").json(), post(server, "/mortal").json()

    with Traffic(server) as traffic:
        killer = post(server, "/mortal", model=death, death=death)
        after = post(server, "/mortal")
        traffic.flow()

    assert (killer.status_code, killer.text) == (500, "internal server error")
    assert after.status_code == 200
    assert after.json() != before
    assert set(traffic.answers) == {f"200 {steady}"}
    assert psutil.pid_exists(after.json())


def test_a_deadly_request_that_names_no_model_hurts_only_its_caller(server: Server) -> None:
    killer = post(server, "/brittle", death="exit")

    assert (killer.status_code, killer.text) == (500, "internal server error")
    assert post(server, "/brittle").status_code == 200


def test_modules_variables_and_files_of_two_apis_do_not_mix(server: Server) -> None:
    a, b = (post(server, path).json() for path in ("/in-a", "/in-b"))

    assert (a["helpers"], a["env"]) == ("a", {"WHO": "a", "ONLY_A": "1"})
    assert (b["helpers"], b["env"]) == ("b", {"WHO": "b", "ONLY_A": None})
    assert (a["common"], a["file"]) == (b["common"], b["file"]) == ("both", "found")
    assert a["folder"] == b["folder"]


@pytest.mark.local_door("an execution environment has one call at a time")
@pytest.mark.parametrize(("api", "threads"), [("single", 1), ("triple", 3)])
def test_no_more_calls_run_at_once_than_threads_per_process(
    server: Server, tmp_path: Path, api: str, threads: int
) -> None:
    with ThreadPoolExecutor(8) as callers:
        calls = [
            callers.submit(post, server, f"/{api}", {"folder": str(tmp_path)}) for _ in range(8)
        ]
        eventually((tmp_path / f"running-{threads}").exists)
        (tmp_path / "gate").touch()
        answers = [call.result().json() for call in calls]

    assert max(most for most, _ in answers) == threads
    if threads == 1:
        assert all(is_made_here for _, is_made_here in answers)


@pytest.mark.long
def test_missing_requirements_are_refused_and_installed_on_demand(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    write_wheel(project.folder / "wheels", "tinypkg", "2.0")
    project.write("requirements.txt", "--no-index\n--find-links ./wheels\ntinypkg==2.0\n")
    project.api("tiny", VERSION_OF_TINYPKG)

    assert "tinypkg==2.0: not installed. Run again with --install" in project.refusal()

    cache_dir = tmp_path / "cache"
    with Server(project.config, "--install", cache_dir=cache_dir) as server:
        assert post(server, "/tiny").text == "2.0"
        assert "Successfully installed tinypkg-2.0" in server.log
    with Server(project.config, cache_dir=cache_dir) as server:
        assert post(server, "/tiny").text == "2.0"
        assert "installed" not in server.log


@pytest.mark.parametrize(
    ("target_model", "slope"), [("near", 10), ("near/1", 1), ("near/latest", 10), ("far", 3)]
)
def test_invoke_endpoint_names_a_model_and_its_version(
    sdk: Any, target_model: str, slope: int
) -> None:
    answer = invoke(sdk, "slopes", b'{"x": 2}', TargetModel=target_model)

    assert answer["ContentType"] == "application/json"
    assert body(answer) == {"y": 2 * slope}


def test_invoke_endpoint_of_an_api_needs_no_target_model(sdk: Any) -> None:
    refused = failure(sdk, "slopes", b'{"x": 2}', ContentType="application/json")

    assert invoke(sdk, "shop", b"{}")["Body"].read() == b"silence"
    assert refused["Error"]["Code"] == "ValidationError"
    assert "no model is named" in refused["Error"]["Message"]


@pytest.mark.parametrize("target_model", ["gone", "near/2"])
def test_invoke_endpoint_refuses_an_unknown_model(sdk: Any, target_model: str) -> None:
    refused = failure(sdk, "slopes", b'{"x": 2}', TargetModel=target_model)

    assert refused["Error"]["Code"] == "ValidationError"
    assert refused["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_invoke_endpoint_tells_the_status_and_text_of_a_class_that_refuses(sdk: Any) -> None:
    refused = failure(sdk, "refusing", b"teapot", TargetModel="any", ContentType="x/y")

    assert refused["Error"]["Code"] == "ModelError"
    assert (refused["OriginalStatusCode"], refused["OriginalMessage"]) == (418, "short and stout")


def test_invoke_endpoint_passes_attributes_to_the_class_and_back(sdk: Any) -> None:
    members = {"TargetModel": "any", "ContentType": "x/y", "CustomAttributes": "trace=1"}

    answer = invoke(sdk, "refusing", b"", **members)

    assert answer["CustomAttributes"] == "trace=1"
    assert answer["Body"].read() == b"any"


def test_the_verbs_of_an_endpoint_work_on_an_api(server: Server) -> None:
    warmed = run(server, "warm", "slopes", "far")
    assert (warmed.exit_code, warmed.stdout) == (0, "1 of 1 models are loaded\n")

    listed = json.loads(run(server, "models", "slopes", "--json").stdout)
    assert {model["name"]: model["status"] for model in listed}["far/1"] == "LOADED"
    assert sorted(model["name"] for model in listed) == ["far/1", "near/1", "near/10"]

    options = ("--target-model", "far", "--content-type", "application/json")
    invoked = run(server, "invoke", "slopes", '{"x": 2}', *options)
    assert json.loads(invoked.stdout) == {"y": 6}

    assert run(server, "unload", "slopes", "far").exit_code == 0
    assert server.models("slopes")["far/1"]["status"] == "STAGED"
    unknown = run(server, "warm", "slopes", "gone")
    assert (unknown.exit_code, "gone" in unknown.stderr) == (1, True)


def test_an_api_and_a_multi_model_endpoint_share_a_file(server: Server, sdk: Any) -> None:
    house = invoke(sdk, "houses", artifacts.ROW, TargetModel="house.tar.gz", ContentType="text/csv")

    assert body(house) == [5.0]
    assert post(server, "/slopes", {"x": 1}, model="far").json() == {"y": 3}
    names = {item["endpointName"] for item in server.http.get("/endpoints").json()["endpoints"]}
    assert {"houses", "slopes"} <= names


@pytest.mark.local_door("Lambda takes 6 MB of payload")
def test_a_body_of_20_mb_goes_in_and_out(server: Server) -> None:
    content = b"echo" + b"\x00" * 20_000_000

    assert server.http.post("/length", content=content).content == content


@pytest.mark.local_door("Lambda takes 6 MB of payload")
def test_a_body_above_64_mib_is_refused_and_one_just_below_is_not(server: Server) -> None:
    limit = 64 * MIB

    assert server.http.post("/length", content=bytes(limit)).text == str(limit)
    refused = server.http.post("/length", content=bytes(limit + 1))

    assert refused.status_code == 413
    assert str(limit) in refused.json()["error"]


def gated_project(folder: Path) -> tuple[Project, Path]:
    """Return a project of a model that loads at once and one that waits for a file."""
    project = Project(folder / "project")
    gate = folder / "gate"
    project.write("models/warm/1/gate", str(project.write("open", "")))
    project.write("models/cold/1/gate", str(gate))
    project.api("gated", GATED, models={"dir": "models"})
    return project, gate


def test_a_model_slower_than_the_window_is_not_ready_and_then_it_is(tmp_path: Path) -> None:
    project, gate = gated_project(tmp_path)
    with project.served("--sync-window", "300ms") as server:
        answer = post(server, "/gated", model="cold")

        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert "cold" in answer.json()["error"]
        sdk = server.client(retries={"total_max_attempts": 1})
        refused = failure(sdk, "gated", b"", TargetModel="cold")
        assert refused["Error"]["Code"] == "ModelNotReadyException"

        gate.touch()
        eventually(lambda: post(server, "/gated", model="cold").status_code == 200)
        assert invoke(sdk, "gated", b"", TargetModel="cold")["Body"].read() == b"loaded"


def test_a_cold_model_does_not_hold_up_a_warm_one(tmp_path: Path) -> None:
    project, gate = gated_project(tmp_path)
    with project.served() as server, ThreadPoolExecutor(1) as callers:
        cold = callers.submit(post, server, "/gated", model="cold")
        eventually(Path(f"{gate}.began").exists)

        assert post(server, "/gated", model="warm").text == "loaded"

        assert not cold.done()
        gate.touch()
        assert cold.result().text == "loaded"


def test_a_running_call_is_answered_before_the_server_ends(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.api("single", COUNTING)
    with project.served() as server, ThreadPoolExecutor(1) as callers:
        call = callers.submit(post, server, "/single", {"folder": str(tmp_path)})
        eventually((tmp_path / "running-1").exists)

        server.terminate()
        eventually(lambda: "shutting down" in server.log)
        (tmp_path / "gate").touch()

        assert call.result().json() == [1, True]


def test_a_second_signal_ends_running_calls_at_once(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.api("single", COUNTING)
    with project.served() as server, ThreadPoolExecutor(1) as callers:
        call = callers.submit(post, server, "/single", {"folder": str(tmp_path)})
        eventually((tmp_path / "running-1").exists)  # and its gate never opens
        server.process.send_signal(signal.SIGINT)
        eventually(lambda: "shutting down" in server.log)

        server.process.send_signal(signal.SIGINT)

        assert server.process.wait(10) == 0
        with pytest.raises(httpx.HTTPError):
            call.result()


def test_a_server_that_ends_while_a_class_is_made_leaves_no_process(tmp_path: Path) -> None:
    project, gate, mark = Project(tmp_path), tmp_path / "gate", uuid.uuid4().hex
    project.api("slow", SLOW_TO_MAKE, config={"gate": str(gate)})
    command = [str(COMMANDS / "modelyard"), "serve", str(project.config), "--port", "0"]
    command += ["--cache-dir", str(tmp_path / "cache")]
    try:
        with subprocess.Popen(command, env=clean_environment() | {MARK: mark}) as process:
            eventually(Path(f"{gate}.began").exists)
            process.terminate()
            process.wait(10)

        eventually(lambda: marked(mark) == [])
    finally:
        gate.touch()
        eventually(lambda: marked(mark) == [])

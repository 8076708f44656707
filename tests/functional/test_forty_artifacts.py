"""`modelyard check` says ok exactly where a call answers 200, and lists what `models` lists."""

import json
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import joblib
import pytest
import yaml
from click.testing import CliRunner

from modelyard.cli.main import app
from tests.functional.artifacts import booster, files_of, onnx, packed, script
from tests.models import archives, script_models, sklearn_models, xgboost_models
from tests.serving import Server, eventually

ROW = b"1,2,3,4,5,6"
FEATURES = 6

FAILING = ("failing.tar.gz", "exiting.tar.gz")
"""Artifacts whose code runs, and fails."""
ALLOWED = {"allow_code": True}

OK = "ok"
CODE = "ok where code is allowed"
REFUSED = "listed but refused"
NO_MODEL = "not listed and refused"


@dataclass
class Forty:
    """The artifacts of two endpoints: what is known of them, found by `check` and served."""

    server: Server
    verdicts: dict[str, dict[str, str]]
    reports: dict[str, list[dict[str, Any]]]


def estimator() -> Any:
    return sklearn_models.linear(1.0, 0.0, FEATURES)


def skops() -> bytes:
    return files_of(lambda to: sklearn_models.dump(to / "m", estimator()))["m"]


def dumped(compress: int = 0) -> bytes:
    return files_of(lambda to: joblib.dump(estimator(), to / "m", compress=compress))["m"]


def net() -> bytes:
    return onnx(features=FEATURES)


def booster_json() -> bytes:
    return files_of(lambda to: xgboost_models.json(to, 5.0))["model.json"]


def files(name: str, build: Any) -> dict[str, bytes]:
    """Return what a builder of `tests.models` writes, as the folder `name`."""
    return {f"{name}/{path}": content for path, content in files_of(build).items()}


def one(name: str, content: bytes) -> dict[str, bytes]:
    return {name: content}


def artifacts() -> Iterator[tuple[str, str, Mapping[str, bytes]]]:
    """Yield the verdict, the name and the files of each artifact."""
    house = {"xgboost-model": booster()}
    yield OK, "booster.ubj", one("booster.ubj", booster())
    yield OK, "booster.json", one("booster.json", booster_json())
    yield OK, "xgboost-model", one("xgboost-model", booster())
    yield OK, "store.onnx", one("store.onnx", net())
    yield OK, "UPPER.ONNX", one("UPPER.ONNX", net())
    yield OK, "churn.skops", one("churn.skops", skops())
    yield OK, "UPPER.SKOPS", one("UPPER.SKOPS", skops())
    yield OK, "no-suffix", one("no-suffix", booster())
    yield OK, "Houston_TX.1", one("Houston_TX.1", booster())
    yield OK, "house.tar.gz", one("house.tar.gz", archives.tar_gz_of(house))
    yield OK, "house.tgz", one("house.tgz", archives.tar_gz_of(house))
    yield OK, "house.tar", one("house.tar", archives.tar_of(house))
    yield OK, "house.zip", one("house.zip", archives.zip_of(house))
    yield OK, "ModelA", one("ModelA", archives.tar_gz_of(house))
    yield OK, "wrapped.zip", one("wrapped.zip", archives.zip_of({"house/m.onnx": net()}))
    yield OK, "folder", {"folder/model.onnx": net(), "folder/weights.txt": b"none"}
    yield OK, "versioned", {"versioned/1/model.onnx": b"old", "versioned/10/model.onnx": net()}
    yield OK, "triton", {"triton/config.pbtxt": b"", "triton/1/model.onnx": net()}
    yield (
        OK,
        "accompanied",
        {
            "accompanied/model.skops": skops(),
            "accompanied/config.json": booster_json(),
            "accompanied/tokenizer.json": booster_json(),
            "accompanied/columns.json": b'["a", "b"]',
            "accompanied/MLmodel": b"flavors: {}",
            "accompanied/.model.onnx": net(),
            "accompanied/__MACOSX/model.onnx": net(),
        },
    )
    yield OK, "north/store.onnx", one("north/store.onnx", net())
    yield CODE, "trees.joblib", one("trees.joblib", dumped())
    yield CODE, "packed.joblib", one("packed.joblib", dumped(compress=3))
    yield CODE, "trees.pkl", one("trees.pkl", pickle.dumps(estimator()))
    yield CODE, "UPPER.PKL", one("UPPER.PKL", pickle.dumps(estimator()))
    pickled = files_of(lambda to: xgboost_models.pickled(to, 5.0, "m"))["m"]
    yield OK, "pickled.bst", one("pickled.bst", pickled)
    yield OK, "pickled.pkl", one("pickled.pkl", pickled)
    running = files_of(lambda to: xgboost_models.pickled_with_code(to, 5.0, "m"))["m"]
    yield CODE, "running.pkl", one("running.pkl", running)
    yield CODE, "script", files("script", lambda to: script_models.linear_script(to, 1, 0))
    build = lambda to: script_models.linear_script(to, 1, 0)  # noqa: E731
    yield CODE, "script.tar.gz", one("script.tar.gz", packed(build))
    transformer = files_of(sklearn_models.untrusted_skops)["model.skops"]
    yield REFUSED, "transformer.skops", one("transformer.skops", transformer)
    yield REFUSED, "empty.onnx", one("empty.onnx", b"")
    yield REFUSED, "cut.onnx", one("cut.onnx", net()[:-20])
    yield REFUSED, "cut.ubj", one("cut.ubj", booster()[:-20])
    yield REFUSED, "cut.tar.gz", one("cut.tar.gz", archives.tar_gz_of(house)[:-20])
    yield REFUSED, "cut.pkl", one("cut.pkl", pickle.dumps(estimator())[:-20])
    yield REFUSED, "hollow.tar.gz", one("hollow.tar.gz", archives.tar_gz_of({}))
    yield REFUSED, "escaping.zip", one("escaping.zip", archives.zip_of({"../m.onnx": net()}))
    legacy = files_of(xgboost_models.legacy_binary)["xgboost-model"]
    yield OK, "legacy.model", one("legacy.model", legacy)
    yield REFUSED, "cut.model", one("cut.model", legacy[:-1])
    future = files_of(xgboost_models.from_the_future)["model.json"]
    yield REFUSED, "future.json", one("future.json", future)
    yield REFUSED, "settings.json", one("settings.json", b'{"rate": 1}')
    yield REFUSED, "misnamed.json", one("misnamed.json", booster())
    yield REFUSED, "text", one("text", b"no model")
    yield REFUSED, "weights.pt", one("weights.pt", archives.zip_of({"archive/data.pkl": b"\x80"}))
    yield REFUSED, "two", {"two/model.onnx": net(), "two/model.skops": skops()}
    two = archives.zip_of({"a.onnx": net(), "b.onnx": net()})
    yield REFUSED, "two.zip", one("two.zip", two)
    yield REFUSED, "saved", one("saved/1/saved_model.pb", b"")
    failing = script("def model_fn(where):\n    raise ValueError('no')")
    yield REFUSED, "failing.tar.gz", one("failing.tar.gz", failing)
    ending = script("import os\ndef model_fn(where):\n    raise SystemExit")
    yield REFUSED, "exiting.tar.gz", one("exiting.tar.gz", ending)
    yield NO_MODEL, "notes.txt", one("notes.txt", booster())
    yield NO_MODEL, "data.csv", one("data.csv", ROW)
    yield NO_MODEL, "README.md", one("README.md", b"# Models")
    yield NO_MODEL, "train.parquet", one("train.parquet", b"PAR1")
    yield NO_MODEL, "config.json", one("config.json", booster_json())
    yield NO_MODEL, "old.onnx.bak", one("old.onnx.bak", net())
    yield NO_MODEL, ".hidden.onnx", one(".hidden.onnx", net())
    yield NO_MODEL, "__MACOSX/m.onnx", one("__MACOSX/m.onnx", net())
    yield NO_MODEL, "größe.onnx", one("größe.onnx", net())


@pytest.fixture(scope="module")
def forty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forty]:
    """Serve all artifacts without code, and those that have code with it; and check them."""
    folder = tmp_path_factory.mktemp("forty")
    verdicts: dict[str, dict[str, str]] = {"safe": {}, "code": {}}
    for verdict, name, content in artifacts():
        for endpoint in ("safe", "code") if verdict is CODE or name in FAILING else ("safe",):
            verdicts[endpoint][name] = verdict
            write(folder / endpoint, content)
    resources = [
        {"name": "safe", "kind": "MultiModelEndpoint", "models": {"path": "safe"}},
        {"name": "code", "kind": "MultiModelEndpoint", "models": {"path": "code"} | ALLOWED},
    ]
    config = folder / "modelyard.yaml"
    config.write_text(yaml.safe_dump(resources))
    result = CliRunner().invoke(app, ["check", str(config), "--json"])
    assert result.exit_code == 1, result.output
    with Server(config, "--workers", "1") as server:
        yield Forty(server, verdicts, json.loads(result.stdout))


def write(folder: Path, content: Mapping[str, bytes]) -> None:
    for name, body in content.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)


@pytest.mark.parametrize("endpoint", ["safe", "code"])
def test_models_and_check_list_the_same_names(forty: Forty, endpoint: str) -> None:
    listed = forty.server.models(endpoint)

    verdicts = forty.verdicts[endpoint]
    assert sorted(listed) == sorted(name for name in verdicts if verdicts[name] is not NO_MODEL)
    assert sorted(report["target_model"] for report in forty.reports[endpoint]) == sorted(listed)


@pytest.mark.parametrize("endpoint", ["safe", "code"])
def test_check_says_ok_where_a_call_answers_200(forty: Forty, endpoint: str) -> None:
    reports = {report["target_model"]: report["problems"] for report in forty.reports[endpoint]}
    served = (OK, CODE) if endpoint == "code" else (OK,)
    wanted = {name: verdict in served for name, verdict in forty.verdicts[endpoint].items()}

    checked = {name: reports.get(name) == [] for name in wanted}
    answered = {name: call(forty.server, endpoint, name) == httpx.codes.OK for name in wanted}

    assert checked == wanted
    assert answered == wanted


def call(server: Server, endpoint: str, name: str) -> int:
    """Return the status of a call, once its model had the time to be loaded."""
    headers = {b"X-Amzn-SageMaker-Target-Model": name.encode(), b"Content-Type": b"text/csv"}
    statuses: list[int] = []

    def is_final() -> bool:
        url = f"/endpoints/{endpoint}/invocations"
        answer = server.http.post(url, content=ROW, headers=headers)
        statuses.append(answer.status_code)
        return "NotReady" not in answer.text

    eventually(is_final, timeout_s=120)
    return statuses[-1]

"""Projects with one wrong thing each: refused at once, in words that say where and what to do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.functional.cortex_project import JSON_MODELS, Project

PLAIN = """
    class PythonPredictor:
        def __init__(self, config):
            pass

        def predict(self, payload):
            return payload
"""
ONNX = PLAIN.replace("Python", "ONNX").replace("config", "config, onnx_client")
TENSORFLOW = PLAIN.replace("Python", "TensorFlow").replace("config", "config, tensorflow_client")
DIRECTORY = {"models": {"dir": "models"}}
NEAR = {"name": "near", "model_path": "models/near"}
VERSION = {"models/near/1/model.json": "{}"}


@dataclass(frozen=True)
class Wrong:
    """A project of one API, `shop`, and fragments of what has to be said about it."""

    said: tuple[str, ...]
    source: str = PLAIN
    predictor: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> Project:
        project = Project(folder)
        for path, content in self.files.items():
            project.write(path, content)
        project.api("shop", self.source, **self.predictor)
        return project


IN_CLASS = {
    "unknown parameter": Wrong(
        ("shop_predictor.py, line 6", "unknown parameter `paylod`", "did you mean `payload`?"),
        PLAIN.replace("self, payload", "self, paylod"),
    ),
    "async predict": Wrong(
        ("shop_predictor.py, line 6", "write `def`, not `async def`"),
        PLAIN.replace("def predict", "async def predict"),
    ),
    "no client for the models": Wrong(
        ("shop_predictor.py, line 5", "`def __init__(self, config, python_client)`"),
        JSON_MODELS.replace(", python_client", ""),
        DIRECTORY,
        VERSION,
    ),
    "a client without models": Wrong(
        ("shop_predictor.py, line 3", "`python_client`", "configure some, or remove it"),
        PLAIN.replace("config", "config, python_client"),
    ),
    "no load_model": Wrong(
        ("shop_predictor.py", "there has to be a method `def load_model(self, model_path)`"),
        JSON_MODELS.replace("load_model", "load"),
        DIRECTORY,
        VERSION,
    ),
    "class of another name": Wrong(
        ("shop_predictor.py", "no class `PythonPredictor`", "did you mean `Predictor`?"),
        PLAIN.replace("PythonPredictor", "Predictor"),
    ),
    "class of another type": Wrong(
        ("shop_predictor.py", "`ONNXPredictor` is the class of `type: onnx`"), ONNX
    ),
    "no class": Wrong(("shop_predictor.py", "the file defines no class"), "x = 1"),
    "syntax error": Wrong(
        ("shop_predictor.py", "SyntaxError: invalid syntax", "line 4: pass pass"),
        PLAIN.replace("pass", "pass pass"),
    ),
    "missing module": Wrong(
        ("shop_predictor.py, line 1", "No module named 'gone'", "requirements.txt", "--install"),
        f"    import gone\n{PLAIN}",
    ),
    "error in another file": Wrong(
        ("shop_predictor.py, line 1", "helpers.py, line 2", "KeyError: 'key'"),
        f"    import helpers\n{PLAIN}",
        files={"helpers.py": "settings = {}\nvalue = settings['key']\n"},
    ),
    "requirement not installed": Wrong(
        ("requirements.txt", "tinypkg>=2: not installed", "--install"),
        files={"requirements.txt": "tinypkg>=2\n"},
    ),
}
IN_CONFIG = {
    "missing file": Wrong(
        ("path: found 'gone.py'", "a .py file of the project", "files.file_does_not_exist"),
        predictor={"path": "gone.py"},
    ),
    "model_path beside models": Wrong(
        ("found model_path and models together", "remove the others", "spec.conflicting_fields"),
        JSON_MODELS,
        DIRECTORY | {"model_path": "models/near"},
        VERSION,
    ),
    "one cache size alone": Wrong(
        ("models: found cache_size alone", "disk_cache_size, or neither"),
        JSON_MODELS,
        {"models": {"dir": "models", "cache_size": 1}},
        VERSION,
    ),
    "two models of one name": Wrong(
        ("models: paths: [1]: name: found 'near'", "rename", "spec.duplicate_model_names"),
        JSON_MODELS,
        {"models": {"paths": [NEAR, NEAR]}},
        VERSION,
    ),
    "signature key of a python class": Wrong(
        ("models: signature_key: found with type python", "remove it"),
        JSON_MODELS,
        {"models": {"dir": "models", "signature_key": "predict"}},
        VERSION,
    ),
    "unknown key": Wrong(
        ("treads_per_process: unknown key", "did you mean 'threads_per_process'?"),
        predictor={"treads_per_process": 2},
    ),
    "reserved variable": Wrong(
        ("env: CORTEX_MODE", "allowed: any other", "spec.cortex_prefixed_env_var_not_allowed"),
        predictor={"env": {"CORTEX_MODE": "1"}},
    ),
    "a bucket elsewhere": Wrong(
        ("model_path: found 'hdfs://bucket/near'", "s3://bucket/prefix", "copy the models there"),
        JSON_MODELS,
        {"model_path": "hdfs://bucket/near"},
    ),
    "no model where one is needed": Wrong(
        ("predictor: found no model, which type onnx needs", "model_path or models"),
        ONNX,
        {"type": "onnx"},
    ),
    "no such folder": Wrong(
        ("models: dir: found 'models', not a folder", "an existing folder or s3://bucket/prefix"),
        JSON_MODELS,
        DIRECTORY,
    ),
    "the route of the server itself": Wrong(
        ("networking: endpoint: found '/ping'", "allowed: a path that is not /ping"),
        predictor={"networking": {"endpoint": "/ping"}},
    ),
}
IN_MODELS = {
    "a SavedModel without variables": Wrong(
        ("models: dir: iris: version 1", "variables/variables.index", "found:\n  1/\n"),
        TENSORFLOW,
        {"type": "tensorflow", **DIRECTORY},
        {"models/iris/1/saved_model.pb": "graph"},
    ),
    "a file beside an ONNX model": Wrong(
        ("models: dir: cat: version 1", "exactly one file, not 2", "labels.txt"),
        ONNX,
        {"type": "onnx", **DIRECTORY},
        {"models/cat/1/cat.onnx": "graph", "models/cat/1/labels.txt": "cat"},
    ),
    "a file beside versions": Wrong(
        ("models: dir: near", "mixed with something else: README.md", "move, complete or remove"),
        JSON_MODELS,
        DIRECTORY,
        VERSION | {"models/near/README.md": "near"},
    ),
    "a file beside models": Wrong(
        ("models: dir: found files beside the models: README.md", "move the files elsewhere"),
        JSON_MODELS,
        DIRECTORY,
        VERSION | {"models/README.md": "models"},
    ),
    "an empty model": Wrong(
        ("predictor: model_path: there are no files", "found:\n  (nothing)"),
        JSON_MODELS,
        {"model_path": "models/near"},
        {"models/near/.keep": ""},
    ),
}


@pytest.mark.parametrize("name", IN_CLASS)
def test_check_refuses_a_wrong_class(tmp_path: Path, name: str) -> None:
    wrong = IN_CLASS[name]

    verdict = wrong.write(tmp_path).verdict()

    for fragment in ("shop", *wrong.said):
        assert fragment in verdict
    assert str(tmp_path) not in verdict


@pytest.mark.parametrize("name", IN_CONFIG)
def test_check_refuses_a_wrong_config(tmp_path: Path, name: str) -> None:
    wrong = IN_CONFIG[name]

    verdict = wrong.write(tmp_path).verdict()

    for fragment in ("cortex.yaml: shop (RealtimeAPI): ", *wrong.said):
        assert fragment in verdict
    assert str(tmp_path) not in verdict


@pytest.mark.parametrize("name", IN_MODELS)
def test_check_refuses_wrong_models(tmp_path: Path, name: str) -> None:
    wrong = IN_MODELS[name]

    verdict = wrong.write(tmp_path).verdict()

    for fragment in ("cortex.yaml: shop (RealtimeAPI): predictor: ", *wrong.said):
        assert fragment in verdict
    assert str(tmp_path) not in verdict


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(IN_CLASS["unknown parameter"], id="class"),
        pytest.param(IN_CONFIG["unknown key"], id="config"),
        pytest.param(IN_MODELS["a file beside versions"], id="models"),
    ],
)
def test_serve_refuses_what_check_refuses(tmp_path: Path, wrong: Wrong) -> None:
    refusal = wrong.write(tmp_path).refusal()

    for fragment in wrong.said:
        assert fragment in refusal


def test_two_apis_of_one_name_are_refused(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.api("shop", PLAIN)
    project.api("shop", PLAIN)

    verdict = project.verdict()

    assert "cortex.yaml: shop: name: given to 2 resources" in verdict


def test_two_apis_of_one_route_are_refused(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.api("shop", PLAIN)
    project.api("till", PLAIN, networking={"endpoint": "shop"})

    verdict = project.verdict()

    assert "cortex.yaml: till (RealtimeAPI): networking: endpoint: found '/shop'" in verdict
    assert "the path of shop, too" in verdict


def test_all_problems_of_a_config_are_told_at_once(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.api("shop", PLAIN, threads_per_process=0, env={"CORTEX_MODE": "1"})
    project.api("till", PLAIN, path="gone.py")

    verdict = project.verdict().splitlines()

    assert [line.partition(": found")[0] for line in verdict] == [
        "cortex.yaml: shop (RealtimeAPI): predictor: threads_per_process",
        "cortex.yaml: shop (RealtimeAPI): predictor: env: CORTEX_MODE",
        "cortex.yaml: till (RealtimeAPI): predictor: path",
    ]


@pytest.mark.parametrize("failure", ["config['threshold']", "raise SystemExit('threshold')"])
def test_a_constructor_that_fails_is_shown_by_its_line(tmp_path: Path, failure: str) -> None:
    project = Project(tmp_path)
    project.api("sound", PLAIN)
    project.api("shop", PLAIN.replace("pass", failure))

    *_, problem, line = project.refusal().splitlines()

    label = "cortex.yaml: shop (RealtimeAPI): shop_predictor.py: "
    assert problem.startswith(f"{label}PythonPredictor.__init__ failed: ")
    assert "threshold" in problem
    assert line == f"  shop_predictor.py, line 4, in __init__: {failure}"


def test_a_class_that_ends_its_process_is_refused(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.api("shop", PLAIN.replace("pass", "import os; os._exit(7)"))

    refusal = project.refusal()

    assert "worker died worker=shop exit_code=7" in refusal
    label = "cortex.yaml: shop (RealtimeAPI): shop_predictor.py: "
    assert refusal.splitlines()[-1].startswith(
        f"{label}the process ended in the constructor of the class"
    )

"""Cortex projects before they run: layouts of models, mistakes in the config, spellings of keys."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from modelyard.cli.main import app
from tests.functional.cortex_project import Project, post
from tests.functional.served import S3Models
from tests.serving import COMMANDS, Server, clean_environment

CLIENTLESS = "def __init__(self, config, {client}): ...\n    def predict(self): ..."
CLASSES = {
    "python": "class PythonPredictor:\n    def load_model(self, model_path): ...\n    ",
    "tensorflow": "class TensorFlowPredictor:\n    ",
    "onnx": "class ONNXPredictor:\n    ",
}
SOURCES = {
    kind: head + CLIENTLESS.format(client=f"{kind}_client") for kind, head in CLASSES.items()
}

TREE = ("saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001")
LAYOUTS: dict[tuple[str, str], tuple[list[str], str]] = {
    ("python", "any-files"): (["a.pkl", "sub/b"], ""),
    ("python", "versions"): (["1/a", "2/a"], ""),
    ("python", "loose-file"): (["1/a", "b"], "mixed with something else: b"),
    ("python", "other-folder"): (["1/a", "v2/a"], "mixed with something else: v2"),
    ("python", "latest-beside"): (["1/a", "latest/a"], "mixed with something else: latest"),
    ("python", "no-integer"): (["1.0/a"], ""),
    ("python", "negative"): (["-1/a"], ""),
    ("python", "zero-first"): (["01/a", "1/a"], ""),
    ("python", "empty"): ([], "there are no files"),
    ("onnx", "one-file"): (["m.onnx"], ""),
    ("onnx", "versions"): (["1/a.onnx", "2/b.onnx"], ""),
    ("onnx", "two-files"): (["a.onnx", "b.onnx"], "exactly one file, not 2"),
    ("onnx", "labels"): (["m.onnx", "labels.txt"], "exactly one file, not 2"),
    ("onnx", "other-suffix"): (["m.pb"], "ends in .onnx"),
    ("onnx", "upper-case"): (["M.ONNX"], "ends in .onnx"),
    ("onnx", "sub-folder"): (["sub/m.onnx"], "ends in .onnx"),
    ("onnx", "labels-beside"): (["1/a.onnx", "labels.txt"], "something else: labels.txt"),
    ("tensorflow", "tree"): ([*TREE], ""),
    ("tensorflow", "assets"): ([*TREE, "assets/words", "keras_metadata.pb"], ""),
    ("tensorflow", "versions"): ([f"{n}/{path}" for n in (1, 22) for path in TREE], ""),
    ("tensorflow", "loose-file"): (
        [*(f"1/{path}" for path in TREE), "README"],
        "something else: README",
    ),
    ("tensorflow", "two-trees"): (
        [*TREE, *(f"1/{path}" for path in TREE)],
        "something else: saved_model.pb, variables",
    ),
    ("tensorflow", "frozen"): (
        ["saved_model.pb"],
        "no SavedModel without variables/variables.index",
    ),
    ("tensorflow", "no-data"): ([*TREE[:2]], "without variables/variables.data"),
    ("tensorflow", "too-deep"): ([f"export/x/1/{path}" for path in TREE], "no SavedModel without"),
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return Project(tmp_path)


def check(project: Project, *options: str) -> Result:
    return CliRunner().invoke(app, ["check", str(project.config), *options])


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What a check says of one API per type, with a model for each layout."""
    project = Project(tmp_path_factory.mktemp("layouts"))
    for kind, source in SOURCES.items():
        names = [name for type_, name in LAYOUTS if type_ == kind]
        for name in names:
            folder = project.folder / "models" / kind / name
            folder.mkdir(parents=True)
            for path in LAYOUTS[kind, name][0]:
                project.write(f"models/{kind}/{name}/{path}", "x")
        paths = [{"name": name, "model_path": f"models/{kind}/{name}"} for name in names]
        project.api(kind, source, type=kind, models={"paths": paths})
    return json.loads(check(project, "--json").stdout)


@pytest.mark.parametrize(("kind", "name"), LAYOUTS, ids=map(" ".join, LAYOUTS))
def test_c34_layouts_are_what_cortex_deploys(findings: Any, kind: str, name: str) -> None:
    fault = LAYOUTS[kind, name][1]

    found = [text for text in findings[kind]["problems"] if f"paths: {name}: " in text]

    assert len(found) == bool(fault)
    for text in found:
        assert fault in text
        assert "allowed, with versions:\n  <number>/" in text
        assert "found:\n  " in text
        assert f"(spec.invalid_{kind}_model_path)" in text


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("models/bad/README", "predictor: models: dir: bad: an ONNX model is one file"),
        ("models/README", "predictor: models: dir: found files beside the models: README"),
    ],
    ids=["bad folder", "loose file"],
)
def test_c34_one_fault_in_models_dir_refuses_the_whole(
    project: Project, path: str, words: str
) -> None:
    project.write("models/good/1/model.onnx", "x")
    project.write(path, "x")
    project.api("api", SOURCES["onnx"], type="onnx", models={"dir": "models"})

    result = check(project)

    assert result.exit_code == 1
    assert f"api (RealtimeAPI): {words}" in result.stderr


def test_c34_layouts_in_s3_are_refused_before_anything_runs(
    project: Project, s3_endpoint: str
) -> None:
    models = S3Models(s3_endpoint)
    models.put("iris/1/model.onnx", b"x")
    models.put("iris/labels.txt", b"x")
    project.api("api", SOURCES["onnx"], type="onnx", model_path=f"{models.target}iris")

    served = subprocess.run(
        [COMMANDS / "modelyard", "serve", project.config, "--port", "0", "--cache-dir", "cache"],
        check=False,
        env=clean_environment() | models.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (served.returncode, served.stdout) == (1, "")
    assert "api (RealtimeAPI): predictor: model_path: version folders are mixed" in served.stderr
    assert "Traceback" not in served.stderr


IRIS = {"name": "iris", "model_path": "models"}
SIZES = {"cache_size": 1, "disk_cache_size": 1}
WRONG: list[tuple[str, str, dict[str, Any]]] = [
    ("predictor", "spec.conflicting_fields", {"model_path": "models", "models": {"dir": "models"}}),
    ("predictor: models", "spec.specify_one_or_the_other", {"models": {}}),
    (
        "predictor: models",
        "spec.specify_all_or_none",
        {"models": {"dir": "models", "cache_size": 1}},
    ),
    (
        "predictor: models: cache_size",
        "spec.config_greater_than_other_config",
        {"models": {"dir": "models", **SIZES, "cache_size": 2}},
    ),
    (
        "predictor: processes_per_replica",
        "spec.model_caching_not_supported_when_multiprocessing_enabled",
        {"models": {"dir": "models", **SIZES}, "processes_per_replica": 2},
    ),
    (
        "predictor: models: cache_size",
        "configreader.must_be_greater_than",
        {"models": {"dir": "models", **SIZES, "cache_size": 0}},
    ),
    ("predictor", "spec.missing_model", {"type": "onnx"}),
    (
        "predictor: signature_key",
        "spec.field_not_supported_by_predictor_type",
        {"model_path": "models", "signature_key": "predict"},
    ),
    (
        "predictor: models: paths: [1]: name",
        "spec.duplicate_model_names",
        {"models": {"paths": [IRIS, IRIS]}},
    ),
    (
        "predictor: models: paths: [0]: name",
        "configreader.disallowed_value",
        {"models": {"paths": [IRIS | {"name": "_cortex_default"}]}},
    ),
    (
        "predictor: models: paths: [0]: name",
        "configreader.alpha_numeric_dash_underscore",
        {"models": {"paths": [IRIS | {"name": "a/b"}]}},
    ),
    (
        "predictor: model_path",
        "spec.incorrect_bucket_provider",
        {"model_path": "hdfs://bucket/models"},
    ),
    (
        "predictor: env: CORTEX_LOG",
        "spec.cortex_prefixed_env_var_not_allowed",
        {"env": {"CORTEX_LOG": "1"}},
    ),
    ("predictor: python_path", "spec.python_path_not_found", {"python_path": "nowhere"}),
    ("predictor: modelpath", "configreader.unsupported_key", {"modelpath": "models"}),
    ("predictor: env: LOG", "configreader.invalid_primitive_type", {"env": {"LOG": 1}}),
]


@pytest.mark.parametrize(
    ("trail", "code", "predictor"), WRONG, ids=[f"{code}, {trail}" for trail, code, _ in WRONG]
)
def test_c41_mistakes_are_told_by_place_and_code(
    project: Project, trail: str, code: str, predictor: dict[str, Any]
) -> None:
    project.write("models/model.json", "{}")
    project.api("api", **predictor)

    result = check(project)

    assert result.exit_code == 1
    [line] = result.stderr.splitlines()
    assert line.startswith(f"cortex.yaml: api (RealtimeAPI): {trail}: ")
    assert "allowed: " in line
    assert line.endswith(f"({code})")


SPELLINGS: dict[str, dict[str, Any]] = {
    "v024-single": {"model_path": "models"},
    "v025-single": {"models": {"path": "models"}},
    "v033-single": {"multi_model_reloading": {"path": "models"}},
    "v024-paths": {"models": {"paths": [{"name": "m", "model_path": "models"}]}},
    "v025-paths": {"models": {"paths": [{"name": "m", "path": "models"}]}},
    "v033-paths": {"multi_model_reloading": {"paths": [{"name": "m", "path": "models"}]}},
}
SPELLED = """
    class PythonPredictor:
        def __init__(self, config, python_client):
            self.client = python_client

        def load_model(self, model_path):
            return open(model_path + "/model.txt").read()

        def predict(self, payload):
            return [self.client.get_model("m"), type(payload).__name__]
"""


@pytest.fixture(scope="module")
def spelled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    project = Project(tmp_path_factory.mktemp("spellings"))
    project.write("models/model.txt", "the model")
    for name, predictor in SPELLINGS.items():
        project.api(name, SPELLED, **predictor)
    with project.served() as server:
        yield server


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_c43_models_have_the_keys_of_every_version(spelled: Server, spelling: str) -> None:
    assert post(spelled, f"/{spelling}").json()[0] == "the model"


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_c43_a_later_key_brings_the_later_kind_of_text(spelled: Server, spelling: str) -> None:
    headers = {"content-type": "text/plain"}

    answer = spelled.http.post(f"/{spelling}", content="text", headers=headers)

    assert answer.json()[1] == ("bytes" if spelling.startswith("v024") else "str")


def test_c43_signature_keys_have_two_places(project: Project) -> None:
    for path in TREE:
        project.write(f"models/1/{path}", "x")
    source = SOURCES["tensorflow"]
    older = {"model_path": "models", "signature_key": "predict"}
    later = {"models": {"path": "models", "signature_key": "predict"}}
    project.api("older", source, type="tensorflow", **older)
    project.api("later", source, type="tensorflow", **later)

    result = check(project)

    assert (result.exit_code, result.stderr) == (0, "")

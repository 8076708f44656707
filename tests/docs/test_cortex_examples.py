"""The Cortex examples: their READMEs are run line by line, their predictors are the guide's."""

import ast
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelyard.config.files import load_config
from tests.docs import pages
from tests.docs.running import SHOWN_URL, Reader, is_alike
from tests.serving import Server

EXAMPLES = sorted(path.parent for path in (pages.ROOT / "examples").glob("*/cortex.yaml"))
QUICKEST = "multi-model-classifier-onnx"
"""The example that `make test` runs; `make test-long` runs the others."""
every_example = pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
# What the multi-model guide of Cortex v0.24 shows of each predictor. The answers it shows for the
# text analyzer (a score, plain text) are not those of its code, whose returns are left out here.
GUIDE = {
    "mpg-estimator": """
        import mlflow.sklearn
        import numpy as np
        class PythonPredictor:
            def __init__(self, config, python_client):
                self.client = python_client
            def load_model(self, model_path):
                return mlflow.sklearn.load_model(model_path)
            def predict(self, payload, query_params):
                model_version = query_params.get("version")
                # process the input
                model = self.client.get_model(model_version=model_version)
                result = model.predict(model_input)
                return {"prediction": result, "model": {"version": model_version}}
    """,
    "multi-model-text-analyzer": """
        class PythonPredictor:
            def __init__(self, config):
                # prepare the environment, download/load models/labels, etc
                # load models
                self.analyzer = initialize_model("sentiment-analysis")
                self.summarizer = initialize_model("summarization")
            def predict(self, query_params, payload):
                # preprocessing
                model_name = query_params.get("model")
                model_input = payload["text"]
                # make prediction
                if model_name == "sentiment":
                    results = self.analyzer(model_input)
                    predicted_label = postprocess(results)
                elif model_name == "summarizer":
                    results = self.summarizer(model_input)
                else:
                    return JSONResponse({"error": f"unknown model: {model_name}"}, status_code=400)
    """,
    "multi-model-classifier-tensorflow": """
        class TensorFlowPredictor:
            def __init__(self, tensorflow_client, config):
                # prepare the environment, download/load labels, etc
                self.client = tensorflow_client
            def predict(self, payload, query_params):
                # preprocessing
                model_name = query_params["model"]
                model_input = preprocess(payload["url"])
                # make prediction
                results = self.client.predict(model_input, model_name)
                # postprocess
                predicted_label = postprocess(results)
                return {"label": predicted_label}
    """,
    "multi-model-classifier-onnx": """
        class ONNXPredictor:
            def __init__(self, onnx_client, config):
                # prepare the environment, download/load labels, etc
                self.client = onnx_client
            def predict(self, payload, query_params):
                # process the input
                model_name = query_params["model"]
                model_input = preprocess(payload["url"])
                # make prediction
                results = self.client.predict(model_input, model_name)
                # postprocess
                predicted_label = postprocess(results)
                return {"label": predicted_label}
    """,
}

# The calls the guide shows of each project: the query and the file that is sent.
GUIDE_CALLS = {
    "mpg-estimator": [("version=1", "sample.json"), ("version=2", "sample.json")],
    "multi-model-text-analyzer": [
        ("model=sentiment", "sample-sentiment.json"),
        ("model=summarizer", "sample-summarizer.json"),
    ],
    "multi-model-classifier-tensorflow": [
        ("model=iris", "sample-iris.json"),
        ("model=resnet50", "sample-image.json"),
        ("model=inception", "sample-image.json"),
    ],
    "multi-model-classifier-onnx": [
        ("model=resnet50", "sample.json"),
        ("model=mobilenet", "sample.json"),
        ("model=shufflenet", "sample.json"),
    ],
}
_CALL = re.compile(r'curl "\$\{\w+\}\?(.+)" -X POST -H "Content-Type: application/json" -d @(\S+)')


@dataclass(frozen=True, slots=True)
class Session:
    """What a README shows: how to make the models and serve them, and the calls after that."""

    made: str
    serving: str
    variables: list[str]
    calls: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Project:
    """A copy of an example in which its models were made."""

    folder: Path
    session: Session
    printed: str
    new_files: set[str]


def commands(markdown: str) -> Iterator[tuple[str, str]]:
    """Yield each command line as it stands, and what it is shown to print."""
    for block in pages.blocks(markdown, "bash"):
        for entry in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, printed = entry.partition("\n")
            yield command, printed.strip()


def read_session(example: Path) -> Session:
    """Return the session of a README; nothing else may be in its code blocks."""
    markdown = (example / "README.md").read_text()
    enter, make, serve, *rest = commands(markdown)
    assert enter == (f"cd examples/{example.name}", "")
    assert (make[0], serve[0]) == ("python make_models.py", "modelyard serve cortex.yaml")
    calls = [call for call in rest if call[0].startswith("curl ")]
    variables = [command for command, _ in rest if re.fullmatch(r"\w+=\S+", command)]
    assert len(calls) + len(variables) == len(rest)
    assert markdown.count("```") == 2 * len(pages.blocks(markdown, "bash"))
    return Session(make[1], serve[1], variables, calls)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(path, id=path.name, marks=() if path.name == QUICKEST else pytest.mark.long)
        for path in EXAMPLES
    ],
)
def project(request, tmp_path_factory):
    parent = tmp_path_factory.mktemp("project")
    folder = parent / request.param.name
    shutil.copytree(request.param, folder, ignore=shutil.ignore_patterns("models", "__pycache__"))
    before = {path.name for path in folder.iterdir()}
    printed = run_in(folder, "python make_models.py", Reader(parent / "maker"))
    new_files = {path.name for path in folder.iterdir()} - before
    return Project(folder, read_session(request.param), printed, new_files)


@pytest.fixture(scope="module")
def server(project):
    with Server(project.folder / "cortex.yaml") as server:
        yield server


def run_in(folder: Path, line: str, reader: Reader) -> str:
    return reader.run(["bash", "-c", f"cd {shlex.quote(str(folder))}\n{line}"])


def test_commands_print_what_the_readme_shows(project, server, tmp_path):
    reader, session = Reader(tmp_path / "caller", server.url), project.session
    variables = "\n".join(session.variables)

    printed = [
        (line, run_in(project.folder, f"{variables}\n{line}", reader), shown)
        for line, shown in session.calls
    ]

    assert len(printed) >= 2
    assert [one for one in printed if not is_alike(one[1], one[2])] == []


def test_readme_shows_what_making_the_models_prints(project):
    shares = re.compile(r"\d+%")  # they differ a little between machines

    assert shares.sub("%", project.printed) == shares.sub("%", project.session.made)


def test_making_the_models_leaves_models_only(project):
    assert project.new_files - {"__pycache__"} == {"models"}


@every_example
def test_predictor_has_the_lines_of_the_guide_in_order(example):
    ours = iter([line.strip() for line in (example / "predictor.py").read_text().splitlines()])
    guide = [line.strip() for line in GUIDE[example.name].strip().splitlines()]

    assert [line for line in guide if line not in ours] == []


@every_example
def test_readme_has_the_calls_of_the_guide(example):
    calls = [_CALL.fullmatch(line) for line, _ in read_session(example).calls]

    assert [call.groups() for call in calls if call] == GUIDE_CALLS[example.name]


@every_example
def test_predictor_is_written_in_the_python_of_cortex(example):
    assert ast.parse((example / "predictor.py").read_text(), feature_version=(3, 6)).body


def test_readme_shows_where_the_api_of_the_project_is(project):
    config = load_config(project.folder / "cortex.yaml")

    assert project.session.serving.splitlines() == [
        f"Modelyard is ready on {SHOWN_URL}",
        f"  API {SHOWN_URL}{config.endpoints[0].endpoint.route}",
    ]
    assert config.warnings == ()

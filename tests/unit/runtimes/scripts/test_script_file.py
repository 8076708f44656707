"""Which file of an artifact is its script, and what is said of code that does not run."""

from textwrap import dedent

import pytest

from modelyard.domain.errors import ArtifactInvalidError, CodeNotAllowedError, ModelLoadError
from modelyard.domain.values import Payload
from modelyard.runtimes import registry
from modelyard.runtimes.scripts import script_file
from tests.models import sklearn_models

SCRIPT = """
    import joblib, os

    def model_fn(model_dir):
        return joblib.load(os.path.join(model_dir, "model.joblib"))

    def output_fn(prediction, accept):
        return {"price": prediction.tolist()}
"""
HELPER = "RATE = 2"


@pytest.fixture
def artifact(tmp_path):
    """A folder with a model, to which a test adds files."""
    sklearn_models.linear_joblib(tmp_path, 2, 1)

    def add(**files):
        for name, source in files.items():
            path = tmp_path / name.replace("__", "/")
            path = path.with_name(f"{path.name}.py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(source))
        return tmp_path

    return add


def plan(folder):
    return registry.plan_load(folder, allow_code=True)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({"code__inference": SCRIPT}, "code/inference.py", id="usual"),
        pytest.param({"code__serve": SCRIPT}, "code/serve.py", id="other name"),
        pytest.param({"inference": SCRIPT}, "inference.py", id="at the root"),
        pytest.param({"predict": SCRIPT}, "predict.py", id="other name at the root"),
        pytest.param({"code__serve": SCRIPT, "code__rates": HELPER}, "code/serve.py", id="helper"),
        pytest.param(
            {"code__inference": "", "code__train": SCRIPT}, "code/inference.py", id="usual wins"
        ),
        pytest.param({"inference": SCRIPT, "code__train": SCRIPT}, "inference.py", id="by name"),
        pytest.param(
            {"code__serve": "try:\n    from x import model_fn\nexcept E:\n    y = 1"},
            "code/serve.py",
            id="imported function",
        ),
        pytest.param({"code__serve": "predict_fn = len"}, "code/serve.py", id="assigned function"),
        pytest.param(
            {"code__serve": "predict_fn: object = len"}, "code/serve.py", id="annotated function"
        ),
        pytest.param(
            {"code__serve": "from parts import *", "code__parts": SCRIPT},
            "code/serve.py",
            id="functions of a module beside it",
        ),
        pytest.param(
            {"code__serve": "from parts import model_fn", "code__parts": SCRIPT},
            "code/serve.py",
            id="function of a module beside it",
        ),
        pytest.param(
            {"code__serve": "import parts\nmodel_fn = parts.model_fn", "code__parts": SCRIPT},
            "code/serve.py",
            id="function out of a module beside it",
        ),
        pytest.param(
            {"code__serve": "import parts\nfrom parts import *", "code__parts": SCRIPT},
            "code/serve.py",
            id="module beside it that is imported twice",
        ),
        pytest.param({"code__serve": "x, predict_fn = 1, len"}, "code/serve.py", id="pair"),
        *(
            pytest.param({"code__serve": f"{block}\n  def predict_fn(x, m): ..."}, "code/serve.py")
            for block in ("with a:", "for b in c:", "while d:", "match 1:\n case 1:", "if e:")
        ),
        pytest.param({"code__serve": "def model_fn(:"}, "code/serve.py", id="damaged"),
        pytest.param({"code__serve": "def input_handler(d, c): ..."}, "code/serve.py", id="TF's"),
        pytest.param({"code__train": HELPER}, None, id="no functions"),
        pytest.param({"code__train": "class A:\n    def model_fn(self): ..."}, None, id="method"),
        pytest.param({}, None, id="no code"),
    ],
)
def test_script_is_the_file_that_defines_the_functions(artifact, files, expected):
    assert script_file.find_script(artifact(**files)) == expected


def test_several_scripts_are_refused_in_words(artifact):
    folder = artifact(code__serve=SCRIPT, code__train=SCRIPT)

    with pytest.raises(
        ArtifactInvalidError, match=r"several scripts \(code/serve.py, code/train.py\).*PROGRAM"
    ):
        plan(folder)


@pytest.mark.parametrize("name", ["src__inference", "code__parts__serve", "Code__inference"])
def test_script_in_another_folder_is_refused(artifact, name):
    folder = artifact(**{name: SCRIPT})

    with pytest.raises(ArtifactInvalidError, match=name.replace("__", "/") + ".py defines func"):
        plan(folder)


@pytest.mark.parametrize("name", ["code__lib__package__serve", ".venv__serve", "src__train"])
def test_code_in_another_folder_that_is_no_script_is_left_alone(artifact, name):
    folder = artifact(**{name: HELPER if "train" in name else SCRIPT})

    assert script_file.find_script(folder) is None


def test_scripts_that_import_each_other_are_refused(artifact):
    folder = artifact(code__a="from b import *\n" + dedent(SCRIPT), code__b="from a import *")

    with pytest.raises(ArtifactInvalidError, match=r"several scripts \(code/a.py, code/b.py\)"):
        plan(folder)


@pytest.mark.parametrize("named", ["train.py", "code/train.py"])
def test_variable_of_sagemaker_chooses(artifact, monkeypatch, named):
    folder = artifact(code__serve=SCRIPT, code__train=SCRIPT)
    stored = None
    monkeypatch.setenv(script_file.PROGRAM, named)

    stored = registry.prepare(folder)

    assert plan(folder).model_file == folder / "code/train.py"
    monkeypatch.delenv(script_file.PROGRAM)
    with pytest.raises(ArtifactInvalidError):  # what was stored held for that variable only
        registry.plan_load(folder, allow_code=True, known=stored)


@pytest.mark.parametrize("name", ["code__serve", "inference"])
def test_pre_and_post_processing_runs_whatever_the_script_is_called(artifact, name):
    predictor = registry.load(plan(artifact(**{name: SCRIPT})))

    assert predictor.predict(Payload(b"[1, 2, 3, 4]")).body == b'{"price":[21.0]}'


@pytest.mark.parametrize("name", ["code__serve", "inference"])
def test_script_needs_allow_code_whatever_it_is_called(artifact, name):
    with pytest.raises(CodeNotAllowedError, match=name.replace("__", "/") + r"\.py runs code"):
        registry.plan_load(artifact(**{name: SCRIPT}), allow_code=False)


def test_code_that_does_not_run_is_told(artifact):
    folder = artifact(code__train=HELPER, setup=HELPER)

    assert plan(folder).warnings == (
        "code/train.py, setup.py does not run: it defines none of "
        "model_fn, input_fn, predict_fn, output_fn, transform_fn",
    )


def test_script_that_misses_a_package_is_told_of_its_requirements(artifact):
    folder = artifact(code__serve="import not_installed_here\ndef model_fn(d): ...")
    (folder / "code/requirements.txt").write_text("not-installed-here")

    with pytest.raises(ModelLoadError, match=r"packages of code/requirements.txt are not install"):
        registry.load(plan(folder))


@pytest.mark.parametrize("function", script_file.FOREIGN_FUNCTIONS)
def test_functions_that_other_containers_call_are_refused(artifact, function):
    folder = artifact(code__inference=f"def {function}(data, context): return data")

    with pytest.raises(ModelLoadError, match=f"defines {function}, which Modelyard does not call"):
        registry.load(plan(folder))

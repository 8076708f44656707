import sys

import pytest

from modelyard.cortex.project import PredictorType
from modelyard.cortex.user_class.loader import load_class
from modelyard.domain.errors import ConfigurationError
from tests.models.user_classes import project

CLASS = "class PythonPredictor: ..."


def complaint(described):
    with pytest.raises(ConfigurationError) as caught:
        load_class(described)
    assert described.folder not in caught.value.message
    return caught.value.message


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (PredictorType.PYTHON, "PythonPredictor"),
        (PredictorType.TENSORFLOW, "TensorFlowPredictor"),
        (PredictorType.ONNX, "ONNXPredictor"),
    ],
)
def test_the_class_is_found_by_the_type_of_the_api(tmp_path, kind, name):
    source = "class PythonPredictor: ...\nclass TensorFlowPredictor: ...\nclass ONNXPredictor: ..."

    assert load_class(project(tmp_path, source, type=kind)).__name__ == name


@pytest.mark.parametrize("file", ["src/predictor.py", "my-predictor.py", "json.py"])
def test_the_file_may_be_anywhere_and_be_called_anything(tmp_path, file):
    import json

    assert load_class(project(tmp_path, CLASS, predictor_file=file)).__name__ == "PythonPredictor"
    assert sys.modules["json"] is json


def test_the_file_imports_its_neighbours(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "user_class_neighbour.py").write_text(CLASS)

    found = load_class(project(tmp_path, "from user_class_neighbour import PythonPredictor"))

    assert found.__module__ == "user_class_neighbour"
    del sys.modules["user_class_neighbour"]


def test_its_objects_can_be_pickled(tmp_path):
    import pickle

    found = load_class(project(tmp_path, CLASS))

    assert isinstance(pickle.loads(pickle.dumps(found())), found)


def test_a_missing_file_is_named(tmp_path):
    described = project(tmp_path, CLASS, predictor_file="src/predictor.py")
    (tmp_path / "src/predictor.py").unlink()

    assert complaint(described).startswith("src/predictor.py: the project has no such file")


def test_a_syntax_error_is_shown_with_its_line(tmp_path):
    described = project(tmp_path, "x = 1\ndef broken(:\n", predictor_file="src/predictor.py")

    what, where = complaint(described).splitlines()

    assert what.startswith("src/predictor.py: SyntaxError: ")
    assert where == "  src/predictor.py, line 2: def broken(:"


def test_a_failing_import_is_shown_with_the_lines_that_led_to_it(tmp_path):
    described = project(tmp_path, "def parse():\n    return int('x')\n\nLIMIT = parse()\n")

    assert complaint(described).splitlines() == [
        "predictor.py: ValueError: invalid literal for int() with base 10: 'x'",
        "  predictor.py, line 4, in <module>: LIMIT = parse()",
        "  predictor.py, line 2, in parse: return int('x')",
    ]


def test_code_without_a_file_has_no_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    words = complaint(project(tmp_path, "eval('1 +')"))

    assert words.splitlines()[1:] == ["  predictor.py, line 1, in <module>: eval('1 +')"]


def test_leaving_the_process_is_a_failure(tmp_path):
    assert "predictor.py: SystemExit: 3" in complaint(project(tmp_path, "raise SystemExit(3)"))


def test_a_missing_module_comes_with_a_remedy(tmp_path):
    words = complaint(project(tmp_path, "import no_such_library"))

    assert "No module named 'no_such_library'" in words
    assert "requirements.txt and start with --install" in words


def test_a_package_of_cortex_s_images_comes_with_its_name_for_pip(tmp_path):
    source = "raise ModuleNotFoundError(\"No module named 'cv2'\", name='cv2')"

    words = complaint(project(tmp_path, source))

    assert words.endswith(
        "\nCortex's images had opencv-python, so its projects need not list it: pip install "
        "opencv-python, or add it to the project's requirements.txt and start with --install."
    )


def test_a_misspelt_class_is_suggested(tmp_path):
    source = "from pathlib import Path\nclass PythonPredictr: ...\nclass Model: ..."

    assert complaint(project(tmp_path, source)) == (
        "predictor.py: there is no class `PythonPredictor`, which `type: python` needs; "
        "classes found: PythonPredictr, Model (did you mean `PythonPredictr`?)"
    )


def test_the_class_of_another_type_is_named(tmp_path):
    words = complaint(project(tmp_path, "class ONNXPredictor: ..."))

    assert words.endswith("`ONNXPredictor` is the class of `type: onnx`")


def test_a_function_is_not_a_class(tmp_path):
    words = complaint(project(tmp_path, "def PythonPredictor(config): ..."))

    assert "`PythonPredictor` is not a class" in words
    assert "the file defines no class" in words

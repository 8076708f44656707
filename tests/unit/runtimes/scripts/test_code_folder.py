import os
import pickle
import subprocess
import sys

import pytest

from modelyard.runtimes.scripts import code_folder
from tests.models.script_models import script


@pytest.fixture(autouse=True)
def process_as_before(monkeypatch):
    """The code of an artifact stays in a process for good; a test takes it out again."""
    before = dict(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)
    monkeypatch.setattr(code_folder, "_added", [])
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    yield
    for name in set(sys.modules) - set(before):
        del sys.modules[name]
    sys.modules.update(before)


def imported(folder, source, **helpers):
    return code_folder.import_script(script(folder, source, **helpers) / "code/inference.py")


def test_helper_beside_the_script_is_importable(tmp_path):
    module = imported(tmp_path, "from helper import NAME", helper="NAME = 'mine'")

    assert module.NAME == "mine"


def test_library_of_the_script_is_importable(tmp_path):
    package = tmp_path / "code/lib/house"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("from house.rooms import COUNT")
    (package / "rooms.py").write_text("COUNT = 4")
    source = tmp_path / "code/inference.py"
    source.write_text("import house.rooms\nCOUNT = house.COUNT")

    assert code_folder.import_script(source).COUNT == 4


def test_import_inside_a_function_of_a_helper_finds_its_neighbour(tmp_path):
    helper = "def name():\n    import other\n    return other.NAME"

    module = imported(tmp_path, "import helper", helper=helper, other="NAME = 'mine'")

    assert module.helper.name() == "mine"


def test_modules_are_registered_under_their_names(tmp_path):
    source = "import helper\nclass Features: pass"

    module = imported(tmp_path, source, helper="class Other: pass")

    assert sys.modules["inference"] is module
    for one in (module.Features(), module.helper.Other()):
        assert type(pickle.loads(pickle.dumps(one))) is type(one)


def test_processes_that_the_script_starts_import_its_helpers(tmp_path):
    imported(tmp_path, "", helper="NAME = 'mine'")

    command = [sys.executable, "-c", "import helper; print(helper.NAME)"]
    assert subprocess.check_output(command, text=True) == "mine\n"


def test_nothing_is_written_into_the_artifact(tmp_path):
    imported(tmp_path, "import helper", helper="")

    assert list(tmp_path.rglob("*.pyc")) == []


def test_helper_goes_before_a_loaded_module_of_the_same_name(tmp_path):
    import orjson

    module = imported(tmp_path, "import orjson\nNAME = orjson.NAME", orjson="NAME = 'mine'")

    assert module.NAME == "mine"
    assert orjson.dumps(1) == b"1"


def test_standard_library_in_use_is_not_hidden(tmp_path):
    import logging

    module = imported(tmp_path, "import logging\nLEVEL = logging.INFO", logging="INFO = 0")

    assert module.LEVEL == logging.INFO


def test_next_script_does_not_see_the_modules_of_the_last(tmp_path):
    first = imported(tmp_path / "a", "import helper", helper="NAME = 'first'")
    second = imported(tmp_path / "b", "import helper", helper="NAME = 'second'")

    assert (first.helper.NAME, second.helper.NAME) == ("first", "second")
    assert not any(str(tmp_path / "a") in entry for entry in sys.path)
    assert str(tmp_path / "a") not in os.environ["PYTHONPATH"]
    with pytest.raises(ModuleNotFoundError):
        imported(tmp_path / "c", "import helper")

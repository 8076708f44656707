import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from modelyard.runtimes.code_folder import CodeFolder
from tests.models.script_models import script


def imported(folder, source, **helpers):
    code = CodeFolder(script(folder, source, **helpers) / "code")
    return code, code.import_script("inference.py")


def test_helper_beside_the_script_is_importable(tmp_path):
    _, module = imported(tmp_path, "from helper import NAME", helper="NAME = 'mine'")

    assert module.NAME == "mine"


def test_nothing_is_left_behind(tmp_path):
    before = (list(sys.path), set(sys.path_importer_cache), sys.dont_write_bytecode)

    imported(tmp_path, "import helper", helper="import other", other="")

    assert {"inference", "helper", "other"}.isdisjoint(sys.modules)
    assert before == (list(sys.path), set(sys.path_importer_cache), sys.dont_write_bytecode)


def test_nothing_is_left_behind_by_a_script_that_fails(tmp_path):
    before = list(sys.path)

    with pytest.raises(ZeroDivisionError):
        imported(tmp_path, "import helper\n1 / 0", helper="")

    assert {"inference", "helper"}.isdisjoint(sys.modules)
    assert sys.path == before


def test_nothing_is_written_into_the_artifact(tmp_path):
    imported(tmp_path, "import helper", helper="")

    assert list(tmp_path.rglob("*.pyc")) == []


def test_two_folders_keep_their_helpers_apart(tmp_path):
    source = "import helper\ndef name():\n    return helper.NAME"
    _, first = imported(tmp_path / "a", source, helper="NAME = 'first'")
    _, second = imported(tmp_path / "b", source, helper="NAME = 'second'")

    assert (first.name(), second.name()) == ("first", "second")


def test_import_inside_a_function_finds_the_right_helper(tmp_path):
    source = "def name():\n    import helper\n    return helper.NAME"
    _, first = imported(tmp_path / "a", source, helper="NAME = 'first'")
    _, second = imported(tmp_path / "b", source, helper="NAME = 'second'")

    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(lambda module: module.name(), [first, second] * 50))

    assert names == ["first", "second"] * 50
    assert "helper" not in sys.modules


def test_late_import_executes_a_helper_once(tmp_path):
    source = "def marker():\n    import helper\n    return helper.MARKER"
    _, module = imported(tmp_path, source, helper="MARKER = object()")

    assert module.marker() is module.marker()


def test_helper_goes_before_a_loaded_module_of_the_same_name(tmp_path):
    import orjson

    _, module = imported(tmp_path, "import orjson\nNAME = orjson.NAME", orjson="NAME = 'mine'")

    assert module.NAME == "mine"
    assert sys.modules["orjson"] is orjson


def test_standard_library_is_never_hidden(tmp_path):
    import logging

    _, module = imported(tmp_path, "import logging\nLEVEL = logging.INFO", logging="INFO = 0")

    assert module.LEVEL == logging.INFO
    assert sys.modules["logging"] is logging


def test_package_beside_the_script_is_importable(tmp_path):
    package = tmp_path / "code" / "house"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("from house.rooms import COUNT")
    (package / "rooms.py").write_text("COUNT = 4")
    (tmp_path / "code" / "inference.py").write_text("import house.rooms\nCOUNT = house.COUNT")

    module = CodeFolder(tmp_path / "code").import_script("inference.py")

    assert module.COUNT == 4
    assert {"house", "house.rooms"}.isdisjoint(sys.modules)


def test_modules_from_elsewhere_stay_imported(tmp_path):
    sys.modules.pop("this_is_no_module", None)
    sys.modules.pop("colorsys", None)

    imported(tmp_path, "import colorsys")

    assert "colorsys" in sys.modules


def test_call_that_misses_a_helper_is_made_again_with_it(tmp_path):
    code, _ = imported(tmp_path, "", helper="NAME = 'mine'")

    name = code.call(lambda: __import__("helper").NAME)

    assert name == "mine"
    assert "helper" not in sys.modules


def test_call_that_misses_something_else_fails(tmp_path):
    code, _ = imported(tmp_path, "")
    calls = []

    def missing():
        calls.append(1)
        __import__("no_such_module")

    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        code.call(missing)
    assert len(calls) == 1


@pytest.mark.parametrize("error", [KeyError(), KeyError("colour"), KeyError(7)], ids=repr)
def test_missing_key_of_the_script_is_no_missing_module(tmp_path, error):
    code, _ = imported(tmp_path, "", helper="")

    def failing():
        raise error

    with pytest.raises(KeyError) as raised:
        code.call(failing)
    assert raised.value is error

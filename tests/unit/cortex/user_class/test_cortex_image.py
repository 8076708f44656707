import importlib
import logging
import sys

import pytest

from modelyard.cortex.user_class.cortex_image import image_package, install_cortex_internal

MODULES = ("cortex_internal", "cortex_internal.lib", "cortex_internal.lib.log")


@pytest.fixture(autouse=True)
def _no_cortex_internal(monkeypatch):
    for name in MODULES:
        monkeypatch.setitem(sys.modules, name, None)  # restored after the test
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.parametrize(
    ("module", "package"),
    [
        ("cv2", "opencv-python"),
        ("sklearn", "scikit-learn"),
        ("sklearn.externals", None),
        ("torch", "torch"),
        ("torchvision", "torchvision"),
        ("torchaudio", None),
        ("transformers", None),
        ("", None),
    ],
)
def test_package_of_a_module(module, package):
    assert image_package(module) == package


def test_cortex_s_logger_can_be_imported():
    install_cortex_internal()

    log = importlib.import_module("cortex_internal.lib.log")

    assert log.logger is logging.getLogger("cortex")


def test_a_module_of_the_project_is_left_alone(tmp_path, monkeypatch):
    folder = tmp_path / "cortex_internal"
    folder.mkdir()
    (folder / "__init__.py").write_text("own = True")
    monkeypatch.syspath_prepend(tmp_path)

    install_cortex_internal()

    assert importlib.import_module("cortex_internal").own

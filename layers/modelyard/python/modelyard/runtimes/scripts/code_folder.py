"""The folder of an artifact's code: importable while its model is loaded in this process."""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

_LIBRARIES = "lib"
"""Where the SageMaker SDK puts the `dependencies` of a model that it repacks."""

_added: list[str] = []
"""The entries of `sys.path` for the folder that was made importable last."""


def import_script(file: Path) -> ModuleType:
    """Execute a file as a module of its name and return it.

    Its folder, and `lib` in it, come first on `sys.path` and in PYTHONPATH from now on. The folder
    of an earlier script leaves both, and its modules leave `sys.modules`.
    """
    _make_importable(file.parent)
    name = file.stem
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _make_importable(folder: Path) -> None:
    _forget_added()
    _added[:] = [str(folder), str(folder / _LIBRARIES)]
    sys.path[:0] = _added
    inherited = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([*_added, *([inherited] if inherited else [])])
    sys.dont_write_bytecode = True  # the folder is part of a published artifact
    for place in (folder, folder / _LIBRARIES):
        for name in filter(sys.modules.__contains__, _modules_of(place)):
            _forget_module(name)


def _forget_added() -> None:
    """Make the code of the last script unknown to this process."""
    if not _added:
        return
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(_added[0] + os.sep):
            del sys.modules[name]
    sys.path[:] = [entry for entry in sys.path if entry not in _added]
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join(one for one in inherited if one not in _added)


def _modules_of(folder: Path) -> list[str]:
    """Return the modules and packages in a folder that may hide others of their names.

    Modules of the standard library and of Modelyard are in use and stay as they are.
    """
    if not folder.is_dir():
        return []
    kept = sys.stdlib_module_names | {"modelyard", "__main__"}
    modules = {path.stem for path in folder.glob("*.py")}
    packages = {path.parent.name for path in folder.glob("*/__init__.py")}
    return sorted((modules | packages) - kept)


def _forget_module(name: str) -> None:
    """Remove a module and what is in it from `sys.modules`: the folder has another one."""
    for loaded in list(sys.modules):
        if loaded == name or loaded.startswith(f"{name}."):
            del sys.modules[loaded]

"""Import the file of a Cortex project and find its class."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from modelyard.cortex.project import ApiProject
from modelyard.cortex.user_class.blame import described
from modelyard.cortex.user_class.cortex_image import image_package, install_cortex_internal
from modelyard.cortex.user_class.signature import CLASS_NAMES
from modelyard.domain.errors import ConfigurationError
from modelyard.domain.suggestions import did_you_mean

# Cortex uses this module name, so the file never hides another module of its name.
_MODULE_NAME = "cortex_predictor"


def make_importable(project: ApiProject) -> None:
    """Add the project's folders to the import path of this process, and Cortex's own modules."""
    sys.path.insert(0, project.folder)
    if project.python_path is not None:
        sys.path.append(str(Path(project.folder, project.python_path)))
    install_cortex_internal()


def load_class(project: ApiProject) -> type:
    """Execute the project's file as a module and return its class.

    The caller has added the project's folders to `sys.path`.

    Raises:
        ConfigurationError: the file is missing, fails, or has no class for the API's type.
    """
    module = _executed(project)
    name = CLASS_NAMES[project.type]
    found = vars(module).get(name)
    if isinstance(found, type):
        return found
    absence = f"`{name}` is not a class" if found is not None else f"there is no class `{name}`"
    raise ConfigurationError(
        f"{project.predictor_file}: {absence}, which `type: {project.type}` needs; "
        f"{_alternatives(name, module)}"
    )


def _executed(project: ApiProject) -> ModuleType:
    file = Path(project.folder, project.predictor_file)
    if not file.is_file():
        raise ConfigurationError(
            f"{project.predictor_file}: the project has no such file; "
            "the predictor's `path` is relative to the folder of the config file"
        )
    spec = importlib.util.spec_from_file_location(_MODULE_NAME, file)
    assert spec is not None and spec.loader is not None
    module = sys.modules[_MODULE_NAME] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        what = f"{project.predictor_file}: {described(error, project.folder)}"
        raise ConfigurationError(what + _remedy(error)) from error
    return module


def _remedy(error: BaseException) -> str:
    if not isinstance(error, ModuleNotFoundError):
        return ""
    if package := image_package(error.name or ""):
        return (
            f"\nCortex's images had {package}, so its projects need not list it: pip install"
            f" {package}, or add it to the project's requirements.txt and start with --install."
        )
    return "\nAdd its package to the project's requirements.txt and start with --install."


def _alternatives(name: str, module: ModuleType) -> str:
    classes = [
        key
        for key, value in vars(module).items()
        if isinstance(value, type) and value.__module__ == _MODULE_NAME
    ]
    if not classes:
        return "the file defines no class"
    for kind, other in CLASS_NAMES.items():
        if other in classes:
            return f"`{other}` is the class of `type: {kind}`"
    return f"classes found: {', '.join(classes)}{did_you_mean(name, classes, mark='`')}"

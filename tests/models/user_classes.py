"""Projects with a class of their own, as Cortex v0.24 users write them."""

from pathlib import Path
from textwrap import dedent
from typing import Any

from modelyard.cortex.project import ApiModels, ApiProject, PredictorType
from modelyard.cortex.user_class.caller import UserClass, UserPredictor

WITH_MODELS = ApiModels(directory="file:///models/")


def project(folder: Path, source: str, **options: Any) -> ApiProject:
    """Write `predictor.py` and return the project of its API, of type python without models."""
    kind = options.pop("type", PredictorType.PYTHON)
    file = options.pop("predictor_file", "predictor.py")
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(dedent(source))
    return ApiProject("api", kind, str(folder), file, **options)


def predictor(folder: Path, methods: str, **options: Any) -> UserPredictor:
    """Return an instance of a PythonPredictor with these methods besides its constructor."""
    source = "class PythonPredictor:\n    def __init__(self, config): ...\n"
    source += "".join(f"    {line}\n" for line in dedent(methods).strip().splitlines())
    return UserClass(project(folder, source, **options)).construct({})

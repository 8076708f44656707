"""A Cortex RealtimeAPI as its worker receives it: the class, its models and their limits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

SINGLE_MODEL = "_cortex_default"
"""The name that Cortex gives to the model of an API with only one."""


def called(model_name: str) -> str:
    """Return what error messages call a model."""
    return "the model" if model_name == SINGLE_MODEL else f"model {model_name!r}"


class PredictorType(StrEnum):
    """The type of predictor, which decides the name of the class and its client."""

    PYTHON = "python"
    TENSORFLOW = "tensorflow"
    ONNX = "onnx"


@dataclass(frozen=True, slots=True)
class ModelLocation:
    """Where one model is: a folder with its files or with one folder per version."""

    repository: str
    """URI of the folder that holds the model's folder, ending in `/`."""
    key: str
    """The model's folder in it, or a single `.onnx` file."""
    signature_key: str | None = None
    """Which signature of a SavedModel to call; None lets the SavedModel decide."""


@dataclass(frozen=True, slots=True)
class ApiModels:
    """The models an API may load: exactly one of `single`, `paths` and `directory`."""

    single: ModelLocation | None = None
    paths: Mapping[str, ModelLocation] = field(default_factory=dict)
    """By name."""
    directory: str | None = None
    """URI of a folder, ending in `/`: every folder in it is a model of that name."""
    signature_key: str | None = None
    """For the models of `directory`; `single` and `paths` carry their own."""
    cache_size: int | None = None
    """How many models (versions count separately) may be in memory; None: as bytes allow."""
    disk_cache_size: int | None = None
    """How many models may be on disk; set exactly when `cache_size` is."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the models whose fields arrive as JSON values."""
        single, paths = data["single"], data["paths"]
        return cls(
            **{
                **data,
                "single": None if single is None else ModelLocation(**single),
                "paths": {name: ModelLocation(**location) for name, location in paths.items()},
            }
        )

    def signature_key_of(self, name: str) -> str | None:
        """Return the configured signature for a model of this name, if there is one."""
        if self.single is not None:
            return self.single.signature_key
        location = self.paths.get(name)
        return self.signature_key if location is None else location.signature_key


@dataclass(frozen=True, slots=True)
class ApiProject:
    """One API of a project (Cortex v0.24 `kind: RealtimeAPI`)."""

    name: str
    type: PredictorType
    folder: str
    """Absolute path of the project: the folder of its config file."""
    predictor_file: str
    """Relative to the project."""
    config: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    python_path: str | None = None
    """A folder of the project that is added to the import path."""
    threads: int = 1
    """How many calls of the class may run at once."""
    text_as_str: bool = False
    """Give `text/plain` bodies to the class as str (v0.25 and later), not as bytes."""
    models: ApiModels | None = None
    config_file: str = "cortex.yaml"
    """The name of the config file, for messages."""

    @property
    def label(self) -> str:
        """The start of every message about the API."""
        return f"{self.config_file}: {self.name} (RealtimeAPI)"

    @property
    def locations(self) -> tuple[ModelLocation, ...]:
        """The locations of the API's models; one without a key is a whole folder."""
        models = self.models or ApiModels()
        single = () if models.single is None else (models.single,)
        folder = () if models.directory is None else (ModelLocation(models.directory, ""),)
        return (*models.paths.values(), *single, *folder)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the project whose fields arrive as JSON values."""
        models = data["models"]
        return cls(
            **{
                **data,
                "type": PredictorType(data["type"]),
                "models": None if models is None else ApiModels.from_json(models),
            }
        )

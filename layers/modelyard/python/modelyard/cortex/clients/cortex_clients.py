"""The client objects of Cortex v0.24: `python_client`, `onnx_client`, `tensorflow_client`.

All three take a name and a version. The name may be left out if the API has a single model. The
version is a number, or "latest" (also None) for the highest one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from modelyard.cortex.clients.loading import LoadedByUser
from modelyard.cortex.clients.models import ClientModels
from modelyard.cortex.project import PredictorType, called
from modelyard.domain.errors import InputRejectedError
from modelyard.inference.residence.model_cache import LoadedModel

if TYPE_CHECKING:  # the frameworks are imported when the first model needs them
    from modelyard.runtimes.onnx import OnnxModel
    from modelyard.runtimes.saved_model import SavedModel

Version = str | int | None


class _Client:
    def __init__(self, models: ClientModels[Any], *, caching: bool) -> None:
        self._models = models
        self.caching = caching
        """Whether the API limits how many models are loaded."""

    @property
    def metadata(self) -> dict[str, Any]:
        """Versions and timestamps (seconds since the epoch) by model name."""
        return dict(self._models.index.metadata())


class PythonClient(_Client):
    """`python_client`: models as the class's own `load_model` returned them."""

    def get_model(self, model_name: str | None = None, model_version: Version = "latest") -> Any:
        """Return what `load_model` returned for this version, loading it if need be."""
        with self._models.lease(model_name, model_version) as loaded:
            model: LoadedByUser = loaded.resident
            return model.native


class OnnxClient(_Client):
    """`onnx_client`: predictions of ONNX models."""

    def predict(
        self, model_input: Any, model_name: str | None = None, model_version: Version = "latest"
    ) -> list[Any]:
        """Return all outputs, NumPy arrays in graph order."""
        with self._models.lease(model_name, model_version) as loaded, _named(loaded):
            model: OnnxModel = loaded.resident
            return model.run(model_input)

    def get_model(
        self, model_name: str | None = None, model_version: Version = "latest"
    ) -> dict[str, Any]:
        """Return `session`, `signatures` (its inputs) and `input_signatures`."""
        with self._models.lease(model_name, model_version) as loaded:
            model: OnnxModel = loaded.resident
            return {
                "session": model.session,
                "signatures": model.signatures,
                "input_signatures": model.input_signatures,
            }


class TensorFlowClient(_Client):
    """`tensorflow_client`: predictions of SavedModels."""

    def predict(
        self, model_input: Any, model_name: str | None = None, model_version: Version = "latest"
    ) -> dict[str, list[Any]]:
        """Return each output of the signature as a flat list."""
        with self._models.lease(model_name, model_version) as loaded, _named(loaded):
            model: SavedModel = loaded.resident
            return model.predict(model_input)


def client_for(
    kind: PredictorType, models: ClientModels[Any], *, caching: bool
) -> dict[str, _Client]:
    """Return the client of a predictor type, by the name of the argument that receives it."""
    match kind:
        case PredictorType.PYTHON:
            return {"python_client": PythonClient(models, caching=caching)}
        case PredictorType.ONNX:
            return {"onnx_client": OnnxClient(models, caching=caching)}
        case PredictorType.TENSORFLOW:
            return {"tensorflow_client": TensorFlowClient(models, caching=caching)}


@contextmanager
def _named(loaded: LoadedModel[Any]) -> Iterator[None]:
    """Add the name and version of the model to errors about its input."""
    try:
        yield
    except InputRejectedError as error:
        name, _, version = loaded.model_id.target_model.rpartition("/")
        raise InputRejectedError(
            f"{called(name)}, version {version}: {error.message}", error.original_status
        ) from error

"""What can go wrong, and whose fault it is. No HTTP here: `sagemaker.statuses` holds the numbers.

ModelyardError
├── InvalidRequestError             the caller asked for something that cannot be
│   ├── UnknownEndpointError
│   ├── TargetModelMissingError
│   ├── TargetModelNotFoundError    no such object under the endpoint's prefix
│   │   └── TargetModelForbiddenError   or the endpoint may not look
│   ├── UnsupportedOperationError
│   └── PayloadTooLargeError
├── AccessDeniedError               the caller may not do this, or is not known
├── ModelError                      the model, its artifact or its input is at fault
│   ├── InputRejectedError          the model cannot read this payload
│   │   ├── UnsupportedContentTypeError
│   │   └── UnsupportedAcceptError
│   ├── ArtifactInvalidError        bad archive, no model in it, two models in it
│   │   └── CodeNotAllowedError     it would run the artifact's own code
│   ├── ModelTooLargeError          it can never fit the memory or disk limit
│   ├── ModelLoadError
│   ├── PredictionError
│   └── ModelCrashedError           it took its worker process down
├── ModelNotReadyError              it is being loaded: try again
├── CapacityError                   we are full: try again
├── DependencyError                 repository or queue out of reach
│   └── ArtifactChangedError        the source moved while it was being read
├── ModelResidenceError             load what is loaded, unload what is not
│   ├── ModelAlreadyLoadedError
│   └── ModelNotLoadedError
└── ConfigurationError              never on the wire: start-up fails
"""

from typing import Any


class ModelyardError(Exception):
    """Base of everything Modelyard raises on purpose; `message` is safe to show to a caller."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def facts(self) -> dict[str, Any]:
        """Return the keyword arguments that build an equal error on another process."""
        return dict(vars(self))


class InvalidRequestError(ModelyardError):
    """The request itself is wrong; nothing was tried."""


class UnknownEndpointError(InvalidRequestError):
    """No endpoint of this name is served."""


class TargetModelMissingError(InvalidRequestError):
    """A multi-model endpoint needs a target model."""


class TargetModelNotFoundError(InvalidRequestError):
    """The repository has no object or folder for the target model."""


class TargetModelForbiddenError(TargetModelNotFoundError):
    """The repository does not let us see whether it has the target model."""


class UnsupportedOperationError(InvalidRequestError):
    """The operation exists in the protocol but not here."""


class PayloadTooLargeError(InvalidRequestError):
    """The request body exceeds the endpoint's limit."""


class AccessDeniedError(ModelyardError):
    """The caller is not known, or may not do this; never says whether the model exists."""


class ModelError(ModelyardError):
    """The model, its artifact or the payload given to it is at fault."""

    def __init__(self, message: str, original_status: int | None = None) -> None:
        super().__init__(message)
        self.original_status = original_status


class InputRejectedError(ModelError):
    """The model cannot read this payload."""


class UnsupportedContentTypeError(InputRejectedError):
    """The model does not take this content type."""


class UnsupportedAcceptError(InputRejectedError):
    """The model cannot answer in any of the accepted types."""


class ArtifactInvalidError(ModelError):
    """The artifact is damaged, hostile, empty or ambiguous."""


class CodeNotAllowedError(ArtifactInvalidError):
    """Loading it would run code from the artifact, which the endpoint does not allow."""


class ModelTooLargeError(ModelError):
    """The model can never fit the memory or disk limit."""


class ModelLoadError(ModelError):
    """The framework refused the model."""


class PredictionError(ModelError):
    """The model failed while predicting."""


class ModelCrashedError(ModelError):
    """The model took its worker process down."""


class ModelNotReadyError(ModelyardError):
    """The model is on its way into memory; the caller should retry after `retry_after_s`."""

    def __init__(self, message: str, retry_after_s: float = 1.0, target_model: str = "") -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.target_model = target_model


class CapacityError(ModelyardError):
    """There is no room for this call right now."""


class DependencyError(ModelyardError):
    """Something we depend on (repository, queue, inference backend) failed."""


class ArtifactChangedError(DependencyError):
    """The artifact's source changed while it was being read."""


class ModelResidenceError(ModelyardError):
    """A management call contradicts where the model is."""


class ModelAlreadyLoadedError(ModelResidenceError):
    """The model is loaded already."""


class ModelNotLoadedError(ModelResidenceError):
    """The model is not loaded."""


class ConfigurationError(ModelyardError):
    """The configuration, an option or the installation is wrong."""

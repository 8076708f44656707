"""The errors, sorted by who can correct them. `sagemaker.statuses` has their HTTP statuses.

ModelyardError
├── InvalidRequestError             the request is wrong
│   ├── UnknownEndpointError
│   ├── TargetModelMissingError
│   ├── TargetModelNotFoundError    the repository has no such object
│   │   └── TargetModelForbiddenError   or may not be listed, so it cannot be known
│   ├── UnsupportedOperationError
│   └── PayloadTooLargeError
├── AccessDeniedError               the caller is unknown or may not do this
├── ModelError                      the model, its artifact or its input is at fault
│   ├── InputRejectedError          the model rejects this payload
│   │   ├── UnsupportedContentTypeError
│   │   └── UnsupportedAcceptError
│   ├── ArtifactInvalidError        bad archive, no model in it, two models in it
│   │   └── CodeNotAllowedError     loading it would run code of the artifact
│   ├── ModelTooLargeError          it exceeds the memory or disk limit
│   ├── ModelLoadError
│   ├── PredictionError
│   └── ModelCrashedError           its process exited
├── ModelNotReadyError              it is loading: retry
├── CapacityError                   the server is busy: retry
│   └── ModelEndedError             its process ended before the call: a retry loads it again
├── DependencyError                 repository, queue or function does not work
│   ├── ArtifactChangedError        it was replaced while it was read
│   ├── RepositoryMissingError      the bucket does not exist
│   └── RepositoryForbiddenError    the credentials do not allow what was asked
├── ModelResidenceError             base of the next two
│   ├── ModelAlreadyLoadedError
│   └── ModelNotLoadedError
└── ConfigurationError              options, config or installation are wrong

A ConfigurationError usually stops the server before it accepts calls. A call gets one when it is
the first to need a package that is not installed, or when the class of a Cortex API cannot be made.
"""

from typing import Any


class ModelyardError(Exception):
    """Base of all errors that Modelyard raises on purpose; `message` may be shown to the caller."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def facts(self) -> dict[str, Any]:
        """Return the keyword arguments that make an equal error in another process."""
        return dict(vars(self))


class InvalidRequestError(ModelyardError):
    """The request is wrong; no model was called."""


class UnknownEndpointError(InvalidRequestError):
    """No endpoint of this name is served; `hint` names a similar one, if callers may know it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class TargetModelMissingError(InvalidRequestError):
    """The request names no target model, and a multi-model endpoint needs one."""


class TargetModelNotFoundError(InvalidRequestError):
    """The repository has no object or folder for the target model."""


class TargetModelForbiddenError(TargetModelNotFoundError):
    """The repository refuses access, so it is not known whether it has the target model."""


class UnsupportedOperationError(InvalidRequestError):
    """SageMaker has this operation and Modelyard does not."""


class PayloadTooLargeError(InvalidRequestError):
    """The request body exceeds the endpoint's limit."""


class AccessDeniedError(ModelyardError):
    """The caller is unknown or may not do this. The message does not reveal if the model exists."""


class ModelError(ModelyardError):
    """The model, its artifact or the payload given to it is at fault."""

    def __init__(self, message: str, original_status: int | None = None) -> None:
        super().__init__(message)
        self.original_status = original_status


class InputRejectedError(ModelError):
    """The model rejects this payload."""


class UnsupportedContentTypeError(InputRejectedError):
    """The model does not accept this content type."""


class UnsupportedAcceptError(InputRejectedError):
    """The model supports none of the content types in `Accept`."""


class ArtifactInvalidError(ModelError):
    """The artifact is damaged or unsafe, or contains no model or several."""


class CodeNotAllowedError(ArtifactInvalidError):
    """Loading it would run code from the artifact, which the endpoint does not allow."""


class ModelTooLargeError(ModelError):
    """The model is larger than the memory or disk limit."""


class ModelLoadError(ModelError):
    """The framework could not load the model."""


class PredictionError(ModelError):
    """The prediction of the model failed."""


class ModelCrashedError(ModelError):
    """The process of the model exited."""


class ModelNotReadyError(ModelyardError):
    """The model is still loading; the caller should retry after `retry_after_s` seconds."""

    def __init__(self, message: str, retry_after_s: float = 1.0, target_model: str = "") -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.target_model = target_model


class CapacityError(ModelyardError):
    """The server accepts no more calls at the moment."""


class ModelEndedError(CapacityError):
    """The process of the model ended before the call began; a retry loads the model again."""


class DependencyError(ModelyardError):
    """A service that Modelyard needs (repository, queue, inference function) failed."""


class ArtifactChangedError(DependencyError):
    """The artifact was replaced in the repository while it was read."""


class RepositoryMissingError(DependencyError):
    """The bucket of the model repository does not exist."""


class RepositoryForbiddenError(DependencyError):
    """The credentials do not allow to read or to list the model repository."""


class ModelResidenceError(ModelyardError):
    """A management call does not fit the state of the model."""


class ModelAlreadyLoadedError(ModelResidenceError):
    """The model to load is loaded already."""


class ModelNotLoadedError(ModelResidenceError):
    """The model to unload is not loaded."""


class ConfigurationError(ModelyardError):
    """An option, the config file or the installation is wrong."""

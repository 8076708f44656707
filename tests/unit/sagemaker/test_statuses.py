import pytest

from modelyard.domain import errors
from modelyard.domain.errors import ModelError, ModelyardError
from modelyard.sagemaker.statuses import WireStatus, invoke_status, manage_status, original_status


def family(root: type[ModelyardError]) -> list[type[ModelyardError]]:
    own = [kind for kind in root.__subclasses__() if kind.__module__ == errors.__name__]
    return [root, *(below for kind in own for below in family(kind))]


EVERY_ERROR = family(ModelyardError)
every_error = pytest.mark.parametrize("kind", EVERY_ERROR, ids=lambda kind: kind.__name__)

VALIDATION = WireStatus("ValidationError", 400)
NO_SUCH_ENDPOINT = WireStatus("ValidationError", 400, "NO_SUCH_ENDPOINT")
CLIENT = WireStatus("ModelError", 424, "CLIENT_ERROR_FROM_MODEL")
SERVER = WireStatus("ModelError", 424, "SERVER_ERROR_FROM_MODEL")
INTERNAL = WireStatus("InternalFailure", 500)
DEPENDENCY = WireStatus("InternalDependencyException", 530)
ON_THE_WIRE = {
    errors.ModelyardError: INTERNAL,
    errors.InvalidRequestError: VALIDATION,
    errors.UnknownEndpointError: NO_SUCH_ENDPOINT,
    errors.TargetModelMissingError: VALIDATION,
    errors.TargetModelNotFoundError: VALIDATION,
    errors.TargetModelForbiddenError: VALIDATION,
    errors.UnsupportedOperationError: VALIDATION,
    errors.PayloadTooLargeError: VALIDATION,
    errors.ModelError: SERVER,
    errors.InputRejectedError: CLIENT,
    errors.UnsupportedContentTypeError: CLIENT,
    errors.UnsupportedAcceptError: CLIENT,
    errors.ArtifactInvalidError: SERVER,
    errors.CodeNotAllowedError: SERVER,
    errors.ModelTooLargeError: SERVER,
    errors.ModelLoadError: SERVER,
    errors.PredictionError: SERVER,
    errors.ModelCrashedError: SERVER,
    errors.ModelNotReadyError: WireStatus("ModelNotReadyException", 429),
    errors.CapacityError: WireStatus("ServiceUnavailable", 503),
    errors.ModelEndedError: WireStatus("ServiceUnavailable", 503),
    errors.DependencyError: DEPENDENCY,
    errors.ArtifactChangedError: DEPENDENCY,
    errors.RepositoryForbiddenError: DEPENDENCY,
    errors.RepositoryMissingError: DEPENDENCY,
    errors.ModelResidenceError: INTERNAL,
    errors.ModelAlreadyLoadedError: WireStatus("ValidationError", 409),
    errors.ModelNotLoadedError: WireStatus("ValidationError", 404),
    errors.ConfigurationError: INTERNAL,
    errors.AccessDeniedError: WireStatus("AccessDeniedException", 403),
}


@every_error
def test_every_error_has_its_wire_status(kind: type[ModelyardError]) -> None:
    assert invoke_status(kind("why")) == ON_THE_WIRE[kind]


@every_error
def test_management_differs_from_invoking_only_where_the_container_contract_does(
    kind: type[ModelyardError],
) -> None:
    differing = {
        errors.UnknownEndpointError: WireStatus("ValidationError", 404, "NO_SUCH_ENDPOINT"),
        errors.TargetModelNotFoundError: WireStatus("ValidationError", 404),
        errors.TargetModelForbiddenError: WireStatus("ValidationError", 404),
        errors.ModelTooLargeError: WireStatus("ModelError", 507),
    }
    expected = differing.get(kind, ON_THE_WIRE[kind])

    found = manage_status(kind("why"))

    assert (found.type, found.status) == (expected.type, expected.status)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.UnsupportedContentTypeError("why"), 415),
        (errors.UnsupportedAcceptError("why"), 415),
        (errors.InputRejectedError("why"), 400),
        (errors.ModelTooLargeError("why"), 507),
        (errors.ModelCrashedError("why"), 0),
        (errors.PredictionError("why"), 500),
        (errors.ModelLoadError("why"), 500),
        (errors.CodeNotAllowedError("why"), 500),
        (errors.PredictionError("why", 418), 418),
        (errors.ModelCrashedError("why", 503), 503),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, ModelError) else str(value),
)
def test_original_status_is_the_containers(error: ModelError, status: int) -> None:
    assert original_status(error) == status


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (0, "SERVER_ERROR_FROM_MODEL"),
        (399, "SERVER_ERROR_FROM_MODEL"),
        (400, "CLIENT_ERROR_FROM_MODEL"),
        (499, "CLIENT_ERROR_FROM_MODEL"),
        (500, "SERVER_ERROR_FROM_MODEL"),
        (599, "SERVER_ERROR_FROM_MODEL"),
    ],
)
def test_blame_follows_the_original_status(status: int, code: str) -> None:
    assert invoke_status(errors.PredictionError("why", status)).error_code == code

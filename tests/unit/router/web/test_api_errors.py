"""Errors of a Cortex API on the wire."""

import json

import pytest

from modelyard.domain import errors
from modelyard.domain.errors import ModelNotReadyError, ModelyardError
from modelyard.domain.values import HttpResponse
from modelyard.router.web.api_errors import INTERNAL_SERVER_ERROR, render_api_error


def family(root: type[ModelyardError]) -> list[type[ModelyardError]]:
    own = [kind for kind in root.__subclasses__() if kind.__module__ == errors.__name__]
    return [root, *(below for kind in own for below in family(kind))]


TOLD = {
    errors.UnknownEndpointError: 404,
    errors.TargetModelNotFoundError: 404,
    errors.TargetModelForbiddenError: 404,
    errors.PayloadTooLargeError: 413,
    errors.InvalidRequestError: 400,
    errors.AccessDeniedError: 403,
    errors.TargetModelMissingError: 400,
    errors.UnsupportedOperationError: 400,
    errors.ModelNotReadyError: 503,
    errors.CapacityError: 503,
    errors.ModelEndedError: 503,
    errors.DependencyError: 503,
    errors.ArtifactChangedError: 503,
    errors.RepositoryForbiddenError: 503,
    errors.RepositoryMissingError: 503,
}
told = pytest.mark.parametrize(
    ("kind", "status"), TOLD.items(), ids=lambda value: getattr(value, "__name__", str(value))
)
kept_back = pytest.mark.parametrize(
    "kind",
    [kind for kind in family(ModelyardError) if kind not in TOLD],
    ids=lambda kind: kind.__name__,
)


@told
def test_c22_error_of_the_request_says_what_was_wrong(
    kind: type[ModelyardError], status: int
) -> None:
    response = render_api_error(kind("no model 'gpt'"))

    assert response.status == status
    assert ("content-type", "application/json") in response.headers
    assert json.loads(response.body) == {"error": "no model 'gpt'"}


@kept_back
def test_c17_error_of_the_class_or_its_models_keeps_its_details(kind: type[ModelyardError]) -> None:
    assert render_api_error(kind("secret")) == HttpResponse(500, (), b"internal server error")


def test_c17_body_of_an_internal_error_has_no_content_type() -> None:
    assert HttpResponse(500, (), b"internal server error") == INTERNAL_SERVER_ERROR


@pytest.mark.parametrize(
    ("seconds", "header"), [(0.0, "1"), (0.2, "1"), (1.0, "1"), (7.1, "8"), (300.0, "300")]
)
def test_caller_learns_in_whole_seconds_when_to_try_again(seconds: float, header: str) -> None:
    response = render_api_error(ModelNotReadyError("loading", seconds))

    assert dict(response.headers)["retry-after"] == header


def test_a_busy_server_says_when_to_retry() -> None:
    assert dict(render_api_error(errors.CapacityError("full")).headers)["retry-after"] == "1"


def test_nobody_is_told_when_that_is_not_known() -> None:
    assert "retry-after" not in dict(render_api_error(errors.DependencyError("gone")).headers)


@pytest.mark.parametrize("message", ["Straße", 'a "quoted" name', "\ud800", "line\nbreak"])
def test_any_message_is_json(message: str) -> None:
    response = render_api_error(errors.TargetModelNotFoundError(message))

    assert json.loads(response.body) == {"error": message}

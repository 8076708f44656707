"""What the roles of a deployment may read, as S3 judges it."""

from collections.abc import Callable
from typing import Any

import boto3
import pytest

from modelyard.cortex.versioned_repository import opening
from modelyard.domain.errors import TargetModelForbiddenError, TargetModelNotFoundError
from modelyard.domain.ports import ModelRepository
from modelyard.repositories.s3 import S3Repository
from tests.infra.s3_with_policies import Judge, statements
from tests.infra.synthesis import Synthesis
from tests.serving import KEYS, REGION

BUCKET = "a-bucket"


@pytest.fixture(scope="module")
def owner(s3_endpoint: str) -> Any:
    session = boto3.session.Session(region_name=REGION, **KEYS)
    client = session.client("s3", endpoint_url=s3_endpoint)
    client.create_bucket(Bucket=BUCKET)
    yield client
    client.close()


@pytest.fixture
def seen_by(owner: Any, s3_endpoint: str) -> Callable[[Synthesis, str], Any]:
    """Return a client that may do what a role may."""

    def client_of(synthesis: Synthesis, role: str) -> Any:
        session = boto3.session.Session(region_name=REGION, **KEYS)
        client = session.client("s3", endpoint_url=s3_endpoint)
        Judge(statements(synthesis.service, role), owner).watch(client)
        return client

    return client_of


def repository_of(synthesis: Synthesis, client: Any) -> ModelRepository:
    """Return the repository of the only API, as router and inference function open it."""
    [planned] = synthesis.settings.endpoints
    api = planned.functions.api
    assert api is not None
    uri = planned.functions.endpoint.repository

    def open_s3(location: str) -> ModelRepository:
        bucket, _, prefix = location.removeprefix("s3://").partition("/")
        return S3Repository(bucket, prefix, client)

    return opening([(uri, api.models, api.type)], open_s3)(uri)


@pytest.mark.parametrize("role", ["RouterRole", "Inferencempg"])
def test_models_of_an_api_can_be_listed(
    cortex: Synthesis, seen_by: Callable[[Synthesis, str], Any], owner: Any, role: str
) -> None:
    owner.put_object(Bucket=BUCKET, Key="mpg/model/1/model.onnx", Body=b"1")
    owner.put_object(Bucket=BUCKET, Key="mpg/model2/1/model.onnx", Body=b"2")

    client = seen_by(cortex, role)
    listed = [item.key for item in repository_of(cortex, client).objects()]

    assert [key.rsplit("/", 2)[-2:] for key in listed] == [["1", "model.onnx"]]


def test_folder_of_an_api_that_is_not_there_is_missing_rather_than_forbidden(
    cortex: Synthesis, seen_by: Callable[[Synthesis, str], Any], owner: Any
) -> None:
    repository = S3Repository(BUCKET, "mpg", seen_by(cortex, "Inferencempg"))
    for item in owner.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        owner.delete_object(Bucket=BUCKET, Key=item["Key"])

    with pytest.raises(TargetModelNotFoundError) as caught:
        repository.describe("model")

    assert not isinstance(caught.value, TargetModelForbiddenError)


@pytest.mark.parametrize("role", ["RouterRole", "Inferencehouses"])
def test_models_of_an_endpoint_are_seen_and_no_others(
    plain: Synthesis, seen_by: Callable[[Synthesis, str], Any], owner: Any, role: str
) -> None:
    owner.put_object(Bucket=BUCKET, Key="houses/a.onnx", Body=b"1")
    owner.put_object(Bucket=BUCKET, Key="secrets/b.onnx", Body=b"2")
    client = seen_by(plain, role)
    houses, secrets = (S3Repository(BUCKET, prefix, client) for prefix in ("houses", "secrets"))

    assert [item.key for item in houses.objects()] == ["a.onnx"]
    assert houses.describe("a.onnx").size_bytes == 1
    with pytest.raises(TargetModelNotFoundError) as missing:
        houses.describe("none.onnx")
    assert not isinstance(missing.value, TargetModelForbiddenError)
    with pytest.raises(TargetModelForbiddenError):
        secrets.describe("b.onnx")

import pytest

from modelyard.domain.endpoints import Endpoint, EndpointTable
from modelyard.domain.errors import ConfigurationError, UnknownEndpointError
from modelyard.domain.values import ModelId, ModelSource, TargetModel

HOUSING = Endpoint("housing", "s3://models/housing/")
CHURN = Endpoint("churn", "file:///srv/churn/")


def test_endpoint_is_found_by_its_name() -> None:
    assert EndpointTable([HOUSING, CHURN]).find("churn") is CHURN


@pytest.mark.parametrize("name", ["fraud", "Housing", "", "housing/"], ids=repr)
def test_unknown_endpoint(name: str) -> None:
    with pytest.raises(UnknownEndpointError) as unknown:
        EndpointTable([HOUSING]).find(name)

    assert unknown.value.message == name


def test_endpoints_are_listed_as_they_were_given() -> None:
    assert list(EndpointTable([HOUSING, CHURN])) == [HOUSING, CHURN]


def test_two_endpoints_of_one_name_are_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="two endpoints are named 'housing'"):
        EndpointTable([HOUSING, Endpoint("housing", "s3://other/")])


def test_source_carries_every_rule_of_the_endpoint() -> None:
    strict = Endpoint(
        "housing", "s3://m/", allow_code=True, revalidate_s=3.0, keep_loaded=False, sync_window_s=9
    )

    source = strict.source(TargetModel("a.onnx"))

    assert source == ModelSource("housing", TargetModel("a.onnx"), "s3://m/", True, 3.0, False)
    assert source.model_id == ModelId("housing", TargetModel("a.onnx"))

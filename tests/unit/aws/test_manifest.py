import pytest

from modelyard.aws.manifest import DeployedApi, DeployedEndpoint, parse_manifest, render_manifest
from modelyard.cortex.project import ApiModels, ApiProject, ModelLocation, PredictorType
from modelyard.domain.endpoints import AccessRule, Endpoint
from modelyard.domain.errors import ConfigurationError

BERT = ModelLocation("s3://models/", "bert", signature_key="serve")
TEXTS = DeployedApi(PredictorType.TENSORFLOW, ApiModels(paths={"bert": BERT}, cache_size=2))
ALONE = DeployedApi.of(ApiProject("alone", PredictorType.PYTHON, "/project", "predictor.py"))


def test_what_is_rendered_is_read_back() -> None:
    rules = (AccessRule("a-*", ("x/*", "y"), ("x/z",)), AccessRule("b"))
    deployed = (
        DeployedEndpoint(Endpoint("housing", "s3://models/", access=rules), "housing-ab", 4),
        DeployedEndpoint(Endpoint("churn", "s3://churn/"), "churn-cd", per_tenant=True),
        DeployedEndpoint(Endpoint("texts", "file:///cortex.yaml#texts"), "texts-ef", api=TEXTS),
        DeployedEndpoint(Endpoint("alone", "file:///cortex.yaml#alone"), "alone-gh", api=ALONE),
    )

    assert parse_manifest(render_manifest(deployed)) == deployed


@pytest.mark.parametrize("content", [b"", b"{", b"[3]", b'[{"endpoint": {"name": "a"}}]'])
def test_anything_else_is_a_configuration_error(content: bytes) -> None:
    with pytest.raises(ConfigurationError, match="manifest of the endpoints cannot be read"):
        parse_manifest(content)

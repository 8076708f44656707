import pytest

from modelyard.aws.function_table import (
    ApiRepository,
    EndpointFunctions,
    FunctionTable,
    parse_function_table,
    render_function_table,
)
from modelyard.cortex.project import ApiModels, ApiProject, ModelLocation, PredictorType
from modelyard.domain.endpoints import (
    AccessRule,
    Endpoint,
    Preload,
    ResidenceRule,
    SplitTarget,
    Splitter,
)
from modelyard.domain.errors import ConfigurationError

BERT = ModelLocation("s3://models/", "bert", signature_key="serve")
TEXTS = ApiRepository(PredictorType.TENSORFLOW, ApiModels(paths={"bert": BERT}, cache_size=2))
ALONE = ApiRepository.of(ApiProject("alone", PredictorType.PYTHON, "/project", "predictor.py"))


def test_what_is_rendered_is_read_back() -> None:
    rules = (AccessRule("a-*", ("x/*", "y"), ("x/z",)), AccessRule("b"))
    kept = (ResidenceRule(("a/*",), is_pinned=True, preload=Preload.LAST), ResidenceRule())
    deployed = (
        EndpointFunctions(
            Endpoint("housing", "s3://models/", access=rules, output="label"), "housing-ab", 4
        ),
        EndpointFunctions(
            Endpoint("churn", "s3://churn/", residence=kept), "churn-cd", per_tenant=True
        ),
        EndpointFunctions(Endpoint("texts", "file:///cortex.yaml#texts"), "texts-ef", api=TEXTS),
        EndpointFunctions(Endpoint("alone", "file:///cortex.yaml#alone"), "alone-gh", api=ALONE),
    )
    targets = (SplitTarget("texts", 100), SplitTarget("alone", 50, shadow=True))
    table = FunctionTable(deployed, (Splitter("split", "/split", targets),))

    assert parse_function_table(render_function_table(table)) == table


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[3]", b'{"endpoints": [{"endpoint": {"name": "a"}}]}']
)
def test_anything_else_is_a_configuration_error(content: bytes) -> None:
    with pytest.raises(ConfigurationError, match="table of endpoints and functions cannot be read"):
        parse_function_table(content)

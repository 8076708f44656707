import json

import pytest

from modelyard.domain.values import Sample
from modelyard.local.emulation.embedded_metrics import is_embedded, samples_in


def line(**members: object) -> str:
    names = [{"Name": name, "Unit": "Count"} for name in members if name != "EndpointName"]
    directive = {"Namespace": "N", "Dimensions": [["EndpointName"]], "Metrics": names}
    return json.dumps({"_aws": {"Timestamp": 1, "CloudWatchMetrics": [directive]}, **members})


def test_every_value_of_every_metric_is_an_observation() -> None:
    found = list(samples_in(line(EndpointName="housing", Hits=[1.0, 0.0], Time=7)))

    assert found == [
        Sample("Hits", 1.0, "housing"),
        Sample("Hits", 0.0, "housing"),
        Sample("Time", 7.0, "housing"),
    ]


@pytest.mark.parametrize("text", ["hello", "{", '{"a": 1}', '{"text": "\\"_aws\\""}', "[1]"])
def test_ordinary_line_has_no_metrics(text: str) -> None:
    assert list(samples_in(text)) == []
    assert not is_embedded(text)

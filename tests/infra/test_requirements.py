"""The packages of `requirements.txt`: those of the CDK app, of the functions and of a server."""

import re

import pytest

from tests.infra.synthesis import ROOT


def pins(name: str) -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+==\S+)", (ROOT / name).read_text(), re.MULTILINE))


@pytest.mark.parametrize(
    "package",
    [
        "aws-cdk-lib",
        "aws-lambda-powertools",
        "boto3",
        "cdk-nag",
        "constructs",
        "fastapi",
        "mangum",
        "onnxruntime",
        "xgboost-cpu",
    ],
)
def test_package_of_a_deployment_is_pinned(package: str) -> None:
    assert package in {pin.partition("==")[0] for pin in pins("requirements.txt")}


def test_every_file_has_the_pins_of_the_smaller_one() -> None:
    serve, deploy, dev = map(
        pins, ("requirements-serve.txt", "requirements.txt", "requirements-dev.txt")
    )

    assert serve < deploy < dev

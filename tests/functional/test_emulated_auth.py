"""`serve --lambda` with the `auth` of a deployment: signatures and keys."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from click.testing import CliRunner

import modelyard
from modelyard.cli.main import app
from modelyard.local.emulation.gateway_iam import USER_ARN
from tests.functional import artifacts
from tests.serving import Server, sdk_client

KEYS = {"AWS_ACCESS_KEY_ID": "AKIDOFTEST", "AWS_SECRET_ACCESS_KEY": "secret-of-test"}
CALL = "/endpoints/houses/invocations"
HEADERS = {"content-type": "text/csv", "x-amzn-sagemaker-target-model": "open/model.onnx"}
BODY = b"1,2,3,4"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A deployment with `auth: iam`, in which this machine's user may call one of two folders."""
    folder = tmp_path_factory.mktemp("deployment")
    for name in ("open", "closed"):
        (folder / "models" / name).mkdir(parents=True)
        (folder / "models" / name / "model.onnx").write_bytes(artifacts.onnx())
    endpoint = {
        "name": "houses",
        "kind": "MultiModelEndpoint",
        "models": {"path": "models"},
        "access": [
            {"principal": USER_ARN, "allow": ["open/*"]},
            {"principal": "team-*", "allow": ["open/*"]},
        ],
    }
    file = folder / "modelyard.yaml"
    file.write_text(
        yaml.safe_dump([{"name": "test", "kind": "Deployment", "auth": "iam"}, endpoint])
    )
    return file


@pytest.fixture(scope="module")
def signed(config: Path) -> Iterator[Server]:
    """A server that has its `auth` from the config."""
    with Server(config, "--lambda", "--workers", "1", environment=KEYS) as server:
        yield server


def call(server: Server, service: str = "execute-api", **changes: Any) -> httpx.Response:
    """Send a signed request; `changes` are made after it was signed."""
    request = AWSRequest("POST", server.url + CALL, headers=HEADERS, data=BODY)
    SigV4Auth(Credentials(*KEYS.values()), service, "eu-north-1").add_auth(request)
    headers = dict(request.headers) | changes.get("headers", {})
    return server.http.post(CALL, headers=headers, content=changes.get("body", BODY))


def test_signed_call_is_answered(signed: Server) -> None:
    answer = call(signed)

    assert (answer.status_code, answer.json()) == (200, [[10.0]])


def test_client_of_modelyard_signs_as_api_gateway_demands(
    signed: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    command = ["invoke", "houses", "1,2,3,4", "--target-model", "open/model.onnx", "--sign"]

    result = CliRunner().invoke(app, [*command, "--content-type", "text/csv", "--url", signed.url])

    assert (result.exit_code, result.stdout) == (0, "[[10.0]]"), result.output


def test_rules_judge_the_arn_of_the_caller(signed: Server) -> None:
    request = AWSRequest(
        "POST",
        signed.url + CALL,
        headers=HEADERS | {"x-amzn-sagemaker-target-model": "closed/model.onnx"},
        data=BODY,
    )
    SigV4Auth(Credentials(*KEYS.values()), "execute-api", "us-east-1").add_auth(request)

    answer = signed.http.post(CALL, headers=dict(request.headers), content=BODY)

    assert answer.status_code == 403
    assert answer.headers["x-amzn-errortype"] == "AccessDeniedException"


@pytest.mark.parametrize(
    ("service", "changes", "words"),
    [
        ("sagemaker", {}, "Credential should be scoped to correct service: 'execute-api'."),
        ("execute-api", {"body": b"4,3,2,1"}, "does not match the signature you provided"),
        (
            "execute-api",
            {"headers": {"x-amzn-sagemaker-target-model": "x"}},
            "does not match the signature you provided",
        ),
        ("execute-api", {"headers": {"X-Amz-Date": "20200101T000000Z"}}, "Signature expired"),
        ("execute-api", {"headers": {"X-Amz-Date": "today"}}, "Date must be in the form"),
        ("execute-api", {"headers": {"X-Amz-Security-Token": "x"}}, "security token included"),
        ("execute-api", {"headers": {"Authorization": "Bearer x"}}, "not in the form"),
    ],
)
def test_wrong_signature_is_refused(
    signed: Server, service: str, changes: dict[str, Any], words: str
) -> None:
    answer = call(signed, service, **changes)

    assert answer.status_code == 403
    assert answer.headers["x-amzn-errortype"] == "InvalidSignatureException"
    assert words in answer.json()["Message"]


def test_stock_client_that_signs_for_sagemaker_gets_a_typed_error(signed: Server) -> None:
    client = sdk_client(signed.url)
    members = {"EndpointName": "houses", "TargetModel": "open/model.onnx", "Body": BODY}

    with pytest.raises(client.exceptions.ClientError, match="InvalidSignatureException"):
        client.invoke_endpoint(**members)
    client.close()


def test_ping_and_preflight_need_no_signature(signed: Server) -> None:
    assert signed.http.get("/ping").status_code == 200
    assert signed.http.options(CALL).status_code != 403
    assert signed.http.get("/endpoints").status_code == 403


def test_keys_of_a_folder_are_those_of_the_deployment(config: Path, tmp_path: Path) -> None:
    keys = CliRunner().invoke(app, ["keys", "create", "team-a", "--folder", str(tmp_path)])
    key = keys.stdout.split()[-1]
    options = ("--lambda", "--workers", "1", "--auth", "key", "--keys-folder", str(tmp_path))

    with Server(config, *options) as server:
        without = server.http.post(CALL, headers=HEADERS, content=BODY)
        client = modelyard.client(server.url, key=key)
        members = {"EndpointName": "houses", "TargetModel": "open/model.onnx"}
        answer = client.invoke_endpoint(ContentType="text/csv", Body=BODY, **members)
        with answer["Body"] as stream:
            read = stream.read()
        client.close()

    assert without.status_code == 403
    assert read == b"[[10.0]]"

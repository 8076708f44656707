"""What callers are given: our client, the settings for boto3 and the AWS CLI, our own verbs."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest

import modelyard
from modelyard.domain.errors import ConfigurationError
from tests.functional import artifacts
from tests.functional.guarded import WRONG, modelyard_says
from tests.functional.test_cli_calls import reply, scripted
from tests.serving import COMMANDS, KEYS, REGION, Server, clean_environment

GATEWAY = "https://abc123.execute-api.eu-west-1.amazonaws.com/prod"
NOT_READY = {"__type": "ModelNotReadyException", "Message": "it is being loaded"}


def test_our_client_sends_the_key_and_needs_no_credentials(guarded):
    client = modelyard.client(guarded.server.url, key=guarded.tenant_key)

    answer = client.invoke_endpoint(
        EndpointName="housing", TargetModel="company_a/one.tar.gz", Body=b"1"
    )

    assert answer["Body"].read() == b"None"
    client.close()


def test_our_client_needs_no_credentials_for_a_local_server(tmp_path):
    models = tmp_path / "models"
    models.mkdir()
    (models / "house.tar.gz").write_bytes(artifacts.house(5.0))
    with Server(models, "--workers", "1") as server:
        client = modelyard.client(server.url)
        answer = client.invoke_endpoint(
            EndpointName="models",
            TargetModel="house.tar.gz",
            Body=b"1,2,3,4,5,6",
            ContentType="text/csv",
        )

        assert json.load(answer["Body"]) == [5.0]
        client.close()


def test_the_function_is_not_hidden_by_a_room_of_its_name(guarded):
    for _ in range(2):
        modelyard.client(guarded.server.url).close()


def test_our_client_sends_no_signature_when_there_are_no_credentials():
    with scripted((200, {}, b"fine")) as (url, script):
        client = modelyard.client(url)
        answer = client.invoke_endpoint(EndpointName="housing", TargetModel="x", Body=b"1")

        assert answer["Body"].read() == b"fine"
        assert "authorization" not in script.headers[0]
        client.close()


def test_our_client_signs_for_a_local_server_with_the_credentials_there_are():
    session = boto3.session.Session(region_name=REGION, **KEYS)
    with scripted((200, {}, b"fine")) as (url, script):
        client = modelyard.client(url, session=session)
        client.invoke_endpoint(EndpointName="housing", TargetModel="x", Body=b"1")

        scope = signed_scope(script.headers[0]["authorization"])
        assert scope == f"{REGION}/execute-api/aws4_request"
        client.close()


def test_our_client_that_must_sign_names_what_is_missing():
    with pytest.raises(ConfigurationError, match="No AWS credentials found"):
        modelyard.client("http://127.0.0.1:1", sign=True)


def signed_scope(authorization: str) -> str:
    return authorization.partition("Credential=")[2].split(",")[0].split("/", 2)[2]


def test_our_client_signs_for_api_gateway_in_the_region_of_the_url():
    seen: list[str] = []
    session = boto3.session.Session(region_name=REGION, **KEYS)
    client = modelyard.client(GATEWAY, session=session)

    def stop(request: Any, **_: Any) -> None:
        seen.append(request.headers["Authorization"].decode())
        raise RuntimeError("not sent")

    client.meta.events.register("before-send", stop)
    with pytest.raises(RuntimeError):
        client.invoke_endpoint(EndpointName="housing", TargetModel="x", Body=b"1")

    assert signed_scope(seen[0]) == "eu-west-1/execute-api/aws4_request"


@pytest.mark.parametrize("mode", ["standard", "legacy"])
def test_our_client_waits_for_a_model_longer_than_sdks_do(mode):
    waiting = [reply(NOT_READY, 429, x_amzn_errortype="ModelNotReadyException", retry_after="0")]
    with scripted(*waiting * 12, (200, {}, b"ready")) as (url, script):
        client = modelyard.client(url, key=WRONG, retries={"mode": mode})
        answer = client.invoke_endpoint(EndpointName="housing", TargetModel="x", Body=b"1")

        assert answer["Body"].read() == b"ready"
        assert len(script.calls) == 13
        client.close()


def aws(settings: dict[str, str], folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    call = ["invoke-endpoint", "--endpoint-name", "housing", "--body", "1"]
    call += ["--target-model", "company_a/one.tar.gz", *more, "out"]
    return subprocess.run(
        [str(COMMANDS / "aws"), "sagemaker-runtime", *call],
        cwd=folder,
        env=clean_environment() | {"AWS_DEFAULT_REGION": REGION} | settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def exported(folder: Path, url: str, *options: str) -> dict[str, str]:
    said = modelyard_says("client-setup", folder, "--url", url, *options)
    lines = [line.removeprefix("export ") for line in said.splitlines()]
    return dict(line.split("=", 1) for line in lines)


def test_aws_cli_sends_the_key_with_the_settings_of_client_setup(guarded, tmp_path):
    settings = exported(tmp_path / "setup", guarded.server.url)

    right = aws(settings, tmp_path, "--no-sign-request", "--api-key", guarded.tenant_key)
    wrong = aws(settings, tmp_path, "--no-sign-request", "--api-key", WRONG)

    assert (right.returncode, right.stderr) == (0, "")
    assert (tmp_path / "out").read_bytes() == b"None"
    assert wrong.returncode == 255
    assert "An error occurred (AccessDeniedException)" in wrong.stderr


@pytest.mark.parametrize("options", [(), ("--profile", "yard")])
def test_aws_cli_signs_for_api_gateway_with_the_settings_of_client_setup(tmp_path, options):
    credentials = {name.upper(): value for name, value in KEYS.items()}
    with scripted((200, {}, b"fine")) as (url, script):
        done = aws(exported(tmp_path / "setup", url, *options) | credentials, tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    scope = signed_scope(script.headers[0]["authorization"])
    assert scope == f"{REGION}/execute-api/aws4_request"


def test_stock_cli_gets_in_with_the_key_in_its_attributes(guarded, tmp_path):
    attributes = "--no-sign-request", "--custom-attributes", f"{guarded.tenant_key},trace=1"

    done = aws({"AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": guarded.server.url}, tmp_path, *attributes)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out").read_bytes() == b"'trace=1'"


def test_boto3_takes_the_settings_of_client_setup_too(guarded, tmp_path):
    program = (
        "import boto3, sys; from botocore import UNSIGNED; from botocore.config import Config\n"
        "client = boto3.client('sagemaker-runtime', config=Config(signature_version=UNSIGNED))\n"
        "answer = client.invoke_endpoint(EndpointName='housing', Body=b'1',"
        " TargetModel='company_a/one.tar.gz', ApiKey=sys.argv[1])\n"
        "print(answer['Body'].read().decode())"
    )
    settings = exported(tmp_path, guarded.server.url) | {"AWS_DEFAULT_REGION": REGION}

    done = subprocess.run(
        [sys.executable, "-c", program, guarded.tenant_key],
        env=clean_environment() | settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.stdout.strip(), done.stderr) == ("None", "")


def test_verbs_send_the_key_that_they_are_given(guarded):
    where = "--url", guarded.server.url, "--key", guarded.tenant_key

    modelyard_says("warm", "housing", "company_a/one.tar.gz", *where)
    [listed] = json.loads(modelyard_says("models", "housing", "--json", *where))
    modelyard_says("unload", "housing", "company_a/one.tar.gz", *where)
    invoke = ["invoke", "housing", "1", "--url", guarded.server.url]
    invoke += ["--target-model", "company_a/one.tar.gz", "--custom-attributes", "trace=1"]
    call = subprocess.run(
        [str(COMMANDS / "modelyard"), *invoke],
        env=clean_environment() | {"MODELYARD_KEY": guarded.tenant_key},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (listed["name"], listed["status"]) == ("company_a/one.tar.gz", "LOADED")
    assert (call.stdout, call.stderr) == ("'trace=1'", "")

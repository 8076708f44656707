"""Our verbs sign for API Gateway: what arrives is checked as AWS checks it."""

import os

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from click.testing import CliRunner, Result

from modelyard.cli.main import app
from tests.functional.test_cli_calls import Script, reply, scripted
from tests.serving import KEYS, REGION

NOWHERE = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_REGION": REGION,
    "COLUMNS": "200",
}
CREDENTIALS = {name.upper(): value for name, value in KEYS.items()}
GATEWAY = "https://abc123.execute-api.eu-west-1.amazonaws.com/prod"
VERBS = [
    ("models", "home value"),
    ("unload", "home value", "a/b c.onnx"),
    ("warm", "home value", "a/b c.onnx"),
    ("invoke", "home-value", "1,2", "--target-model", "a/b c.onnx", "--content-type", "text/csv"),
]


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner(env={**NOWHERE, **environment}).invoke(app, arguments)


def expected_authorization(script: Script, number: int) -> str:
    """Return the header that AWS would compute from what it received."""
    method, path, body = script.calls[number]
    headers = script.headers[number]
    sent = headers["authorization"]
    names = sent.partition("SignedHeaders=")[2].split(",")[0].split(";")
    request = AWSRequest(
        method,
        f"http://{headers['host']}{path}",
        headers={name: headers[name] for name in names},
        data=body,
    )
    request.context["timestamp"] = headers["x-amz-date"]
    credentials = Credentials(KEYS["aws_access_key_id"], KEYS["aws_secret_access_key"])
    auth = SigV4Auth(credentials, "execute-api", REGION)
    signature = auth.signature(
        auth.string_to_sign(request, auth.canonical_request(request)), request
    )
    scope = f"{headers['x-amz-date'][:8]}/{REGION}/execute-api/aws4_request"
    return (
        f"AWS4-HMAC-SHA256 Credential={KEYS['aws_access_key_id']}/{scope}, "
        f"SignedHeaders={';'.join(names)}, Signature={signature}"
    )


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb[0])
def test_verb_signs_what_it_sends(verb: tuple[str, ...]) -> None:
    with scripted(reply({"models": []})) as (url, script):
        result = run(*verb, "--url", url, "--sign", **CREDENTIALS)

    assert result.exit_code == 0, result.output
    assert script.headers[0]["authorization"] == expected_authorization(script, 0)


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb[0])
def test_other_servers_get_no_signature(verb: tuple[str, ...]) -> None:
    with scripted(reply({"models": []})) as (url, script):
        result = run(*verb, "--url", url, **CREDENTIALS)

    assert result.exit_code == 0, result.output
    assert "authorization" not in script.headers[0]


def test_session_token_travels_with_the_signature() -> None:
    with scripted(reply({"models": []})) as (url, script):
        run("models", "home", "--url", url, "--sign", AWS_SESSION_TOKEN="token", **CREDENTIALS)

    assert script.headers[0]["x-amz-security-token"] == "token"


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb[0])
def test_gateway_is_signed_for_unasked_and_needs_credentials(verb: tuple[str, ...]) -> None:
    result = run(*verb, "--url", GATEWAY)

    assert result.exit_code == 1
    assert "No AWS credentials found; configure them, or pass --key or --no-sign." in result.stderr

"""Who may call, through the doors of callers: stock boto3, our client, the AWS CLI, HTTP."""

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.exceptions import ClientError
from typer.testing import CliRunner

import modelyard
from modelyard.cli import app
from tests.functional import artifacts
from tests.functional.test_cli_calls import reply, scripted
from tests.serving import COMMANDS, KEYS, REGION, Server, clean_environment

SHOW_ATTRIBUTES = """
    def model_fn(model_dir):
        return "nothing"

    def transform_fn(model, data, content_type, accept, context):
        return repr(context.custom_attributes).encode(), "text/plain"
"""
SHOW_HEADERS = """
    class PythonPredictor:
        def __init__(self, config):
            pass

        def predict(self, headers):
            return dict(headers)
"""
RULES = [
    {"principal": "tenant-a", "allow": ["company_a/*"], "deny": ["company_a/secret*"]},
    {"principal": "admin", "allow": ["*"]},
]
WRONG = f"myk_{'0' * 12}_{'0' * 64}"
GATEWAY = "https://abc123.execute-api.eu-west-1.amazonaws.com/prod"
NOT_READY = {"__type": "ModelNotReadyException", "Message": "it is being loaded"}


def modelyard_says(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    return done.stdout


@dataclass
class Guarded:
    """A server that asks for keys, and the keys of two callers."""

    server: Server
    folder: Path
    tenant_key: str
    admin_key: str

    def invoke(self, target: str, key: str | None, attributes: str = "") -> Any:
        """Call with a stock SDK; the key begins the custom attributes."""
        sent = ",".join(filter(None, (key, attributes)))
        members = {"CustomAttributes": sent} if sent else {}
        return self.server.client().invoke_endpoint(
            EndpointName="housing", TargetModel=target, Body=b"1", **members
        )

    def get(self, path: str, key: str | None) -> Any:
        return self.server.http.get(path, headers={"x-api-key": key} if key else {})


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    for name in ("company_a/one", "company_a/secret", "company_b/one"):
        path = folder / "models" / f"{name}.tar.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(artifacts.script(SHOW_ATTRIBUTES))
    (folder / "predictor.py").write_text(textwrap.dedent(SHOW_HEADERS))
    housing = {
        "name": "housing",
        "kind": "MultiModelEndpoint",
        "models": {"path": "models", "allow_code": True},
        "access": RULES,
    }
    api = {
        "name": "headers",
        "kind": "RealtimeAPI",
        "predictor": {"type": "python", "path": "predictor.py"},
    }
    (folder / "modelyard.yaml").write_text(yaml.safe_dump([housing, api]))
    keys = folder / "keys"
    tenant, admin = (
        modelyard_says("keys", "create", name, "--folder", keys).strip()
        for name in ("tenant-a", "admin")
    )
    with Server(folder / "modelyard.yaml", "--keys-folder", str(keys)) as server:
        yield Guarded(server, keys, tenant, admin)
        for key in (tenant, admin):
            assert key.rpartition("_")[2] not in server.log


def refusal(call: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call()
    answer = caught.value.response
    return (
        answer["Error"]["Code"],
        answer["ResponseMetadata"]["HTTPStatusCode"],
        answer["Error"]["Message"],
    )


def test_key_in_the_attributes_lets_a_stock_client_in_and_does_not_reach_the_model(guarded):
    bare = guarded.invoke("company_a/one.tar.gz", guarded.tenant_key)
    with_rest = guarded.invoke("company_a/one.tar.gz", guarded.tenant_key, "trace=1,b")

    assert (bare["Body"].read(), with_rest["Body"].read()) == (b"None", b"'trace=1,b'")


def test_wrong_unknown_and_missing_keys_are_access_denied(guarded):
    spoilt = guarded.tenant_key[:-1] + ("0" if guarded.tenant_key[-1] != "0" else "1")
    refused = "AccessDeniedException", 403

    for key in (spoilt, WRONG, "myk_nonsense"):
        answer = refusal(lambda key=key: guarded.invoke("company_a/one.tar.gz", key))
        assert answer == (*refused, "the key is not valid")
    assert refusal(lambda: guarded.invoke("company_a/one.tar.gz", None))[:2] == refused


def test_rules_refuse_other_models_whether_or_not_they_exist(guarded):
    there, not_there, denied = (
        refusal(lambda name=name: guarded.invoke(name, guarded.tenant_key))
        for name in ("company_b/one.tar.gz", "company_b/two.tar.gz", "company_a/secret.tar.gz")
    )

    assert there[2].replace("one", "two") == not_there[2]
    assert {there[:2], not_there[:2], denied[:2]} == {("AccessDeniedException", 403)}
    assert guarded.invoke("company_b/one.tar.gz", guarded.admin_key)["Body"].read() == b"None"


def test_listing_shows_what_the_caller_may_call(guarded):
    def names(key: str, limit: int) -> list[str]:
        page = guarded.get(f"/endpoints/housing/models?limit={limit}", key).json()
        assert "nextPageToken" not in page
        return [model["modelName"] for model in page["models"]]

    assert names(guarded.tenant_key, 1) == ["company_a/one.tar.gz"]
    assert len(names(guarded.admin_key, 3)) == 3


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("GET", "/models/company_b%2Fone.tar.gz", None),
        ("DELETE", "/models/company_b%2Fone.tar.gz", None),
        ("POST", "/models", {"model_name": "company_b/one.tar.gz"}),
    ],
)
def test_management_of_a_model_needs_the_same_right(guarded, method, path, content):
    answers = [
        guarded.server.http.request(
            method, f"/endpoints/housing{path}", json=content, headers={"x-api-key": key}
        )
        for key in (guarded.tenant_key, guarded.admin_key)
    ]

    assert answers[0].status_code == 403
    assert answers[0].json()["__type"] == "AccessDeniedException"
    assert answers[1].status_code != 403


@pytest.mark.parametrize("path", ["/endpoints", "/endpoints/housing/models", "/metrics", "/nope"])
def test_every_path_needs_a_key_but_ping(guarded, path):
    assert guarded.get(path, None).status_code == 403
    assert guarded.get(path, guarded.admin_key).status_code != 403
    assert guarded.get("/ping", None).status_code == 200


def test_class_of_an_api_does_not_see_the_key(guarded):
    headers = {"x-api-key": guarded.tenant_key, "x-other": "kept"}

    answer = guarded.server.http.post("/headers", json={}, headers=headers)
    refused = guarded.server.http.post("/headers", json={})

    assert answer.json()["x-other"] == "kept"
    assert guarded.tenant_key not in answer.text
    assert refused.status_code == 403


def test_large_body_without_a_key_is_refused_in_an_answer_the_client_gets(guarded):
    call = guarded.server.client().invoke_endpoint
    members = {"EndpointName": "housing", "TargetModel": "x", "Body": b"1" * 6_000_000}

    assert refusal(lambda: call(**members))[:2] == ("AccessDeniedException", 403)


def test_key_is_created_listed_rotated_and_deleted(guarded):
    where = "--folder", guarded.folder
    first = modelyard_says("keys", "create", "tenant-a", *where).strip()
    second = modelyard_says("keys", "create", "tenant-a", *where, "--expires", "90d").strip()
    ids = [key.split("_")[1] for key in (first, second)]

    listed = modelyard_says("keys", "list", *where)
    modelyard_says("keys", "delete", ids[0], *where)

    assert all(f"{one}  tenant-a  " in listed for one in ids)
    assert first not in listed
    assert guarded.get("/endpoints", first).status_code == 403
    assert guarded.get("/endpoints", second).status_code == 200


def test_our_client_sends_the_key_and_needs_no_credentials(guarded):
    client = modelyard.client(guarded.server.url, key=guarded.tenant_key)

    answer = client.invoke_endpoint(
        EndpointName="housing", TargetModel="company_a/one.tar.gz", Body=b"1"
    )

    assert answer["Body"].read() == b"None"
    client.close()


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

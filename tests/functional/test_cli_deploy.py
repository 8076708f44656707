"""`modelyard deploy`, `diff` and `destroy`: what is looked at before, and what the CDK is told."""

import json
import stat
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result

from modelyard.aws.preflight import BOOTSTRAP_PARAMETER, DeploymentPlan, Finding, preflight
from modelyard.cli.cdk import Cdk, image_builder
from modelyard.cli.main import app
from modelyard.domain.errors import ConfigurationError, DependencyError

CONFIG = """\
- {{name: houses, kind: Deployment, bucket: {bucket}}}
- name: home-value
  kind: MultiModelEndpoint
  models: {{path: {path}}}
"""


def run(*words: str) -> Result:
    return CliRunner().invoke(app, [*words], env={"COLUMNS": "200"})


def found(bucket: str, *, creates: bool = False) -> dict[str, Finding]:
    plan = DeploymentPlan("houses", (bucket,), creates, functions=8)
    return {one.subject: one for one in preflight(plan, boto3.session.Session())}


@pytest.fixture
def bootstrapped(s3_bucket: str) -> Any:
    """The name of a bucket in an account with the CDK's bootstrap stack."""
    ssm = boto3.client("ssm")
    ssm.put_parameter(Name=BOOTSTRAP_PARAMETER, Value="28", Type="String")
    yield s3_bucket
    ssm.delete_parameter(Name=BOOTSTRAP_PARAMETER)


def test_account_that_has_everything_is_good(bootstrapped: str) -> None:
    findings = found(bootstrapped)

    assert findings["bootstrap"] == Finding("bootstrap", "version 28")
    assert findings[f"bucket {bootstrapped}"] == Finding(f"bucket {bootstrapped}", "exists")
    assert findings["credentials"].detail.endswith("in us-east-1")
    assert not any(one.is_fatal for one in findings.values())


def test_check_that_the_account_does_not_answer_is_no_reason_to_stop(bootstrapped: str) -> None:
    concurrency = found(bootstrapped)["concurrency"]  # moto does not have this operation

    assert concurrency.detail.startswith("could not be checked: ")
    assert (concurrency.is_good, concurrency.is_fatal) == (False, False)


def test_account_without_bootstrap_stack_is_refused(s3_bucket: str) -> None:
    bootstrap = found(s3_bucket)["bootstrap"]

    assert bootstrap.is_fatal
    assert bootstrap.detail == "The CDK is not bootstrapped here; run cdk bootstrap."


@pytest.mark.parametrize(
    ("creates", "exists", "words"),
    [
        (False, False, "does not exist; create it, or write `bucket: create` into the config."),
        (True, True, "exists already, so it cannot be created; remove `bucket: create`."),
    ],
)
def test_bucket_that_fails_a_deployment_is_refused(
    s3_bucket: str, creates: bool, exists: bool, words: str
) -> None:
    name = s3_bucket if exists else "no-such-bucket-at-all"

    bucket = found(name, creates=creates)[f"bucket {name}"]

    assert (bucket.detail, bucket.is_fatal) == (words, True)


def test_bucket_of_another_region_is_refused(s3_bucket: str, s3_client: Any) -> None:
    far = f"far-{s3_bucket}"
    s3_client.create_bucket(
        Bucket=far, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )

    bucket = found(far)[f"bucket {far}"]

    assert bucket.is_fatal
    assert bucket.detail == "is in eu-west-1; functions can only read buckets here."


def test_bucket_of_the_deployed_stack_is_no_obstacle(s3_bucket: str) -> None:
    client = boto3.client("cloudformation")
    topic = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}
    client.create_stack(StackName="houses-data", TemplateBody=json.dumps(topic))
    try:
        bucket = found(s3_bucket, creates=True)[f"bucket {s3_bucket}"]
    finally:
        client.delete_stack(StackName="houses-data")

    assert bucket.is_good


def test_without_credentials_nothing_else_is_asked(
    s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    assert set(found(s3_bucket)) == {"credentials"}


def program(folder: Path, script: str) -> Path:
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text(f"#!{sys.executable}\n{script}")
    folder.chmod(folder.stat().st_mode | stat.S_IXUSR)
    return folder


@pytest.mark.parametrize(
    ("platforms", "is_good"), [("linux/amd64", False), ("linux/amd64, linux/arm64", True)]
)
def test_builder_without_the_processor_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platforms: str, is_good: bool
) -> None:
    script = f"import sys; print({platforms!r} if 'buildx' in sys.argv else '28.2')"
    monkeypatch.setenv("CDK_DOCKER", str(program(tmp_path / "docker", script)))

    (finding,) = image_builder("arm64")

    assert (finding.is_good, finding.is_fatal) == (is_good, False)


def test_missing_builder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDK_DOCKER", str(tmp_path / "docker"))

    (finding,) = image_builder("arm64")

    assert finding.is_fatal


RECORDING = """
import json, pathlib, sys
words = sys.argv[1:]
pathlib.Path("words.json").write_text(json.dumps(words))
if "--outputs-file" in words:
    outputs = {"houses": {"EndpointUrl": "https://api"}}
    pathlib.Path(words[words.index("--outputs-file") + 1]).write_text(json.dumps(outputs))
sys.exit("destroy" in words and "--force" not in words)
"""


@pytest.fixture
def cdk(tmp_path: Path) -> Cdk:
    """A checkout whose command line only writes down what it is told."""
    program(tmp_path / "node_modules" / ".bin" / "cdk", RECORDING)
    (tmp_path / "app.py").touch()
    return Cdk(tmp_path / "modelyard.yaml", tmp_path)


def told(cdk: Cdk) -> list[str]:
    words: list[str] = json.loads((cdk.root / "words.json").read_text())
    return words


@pytest.mark.parametrize(("asks", "approval"), [(True, "broadening"), (False, "never")])
def test_deployment_returns_its_outputs(cdk: Cdk, asks: bool, approval: str) -> None:
    outputs = cdk.deploy(asks=asks)

    words = told(cdk)
    assert outputs == {"houses": {"EndpointUrl": "https://api"}}
    assert words[:4] == ["deploy", "--all", "--require-approval", approval]
    assert f"config={cdk.config}" in words
    assert "check=1" in words


def test_deletion_asks_unless_told_otherwise(cdk: Cdk) -> None:
    cdk.destroy(asks=False)

    assert told(cdk)[:3] == ["destroy", "--all", "--force"]
    with pytest.raises(DependencyError, match="cdk ended with code 1"):
        cdk.destroy(asks=True)


def test_checkout_without_the_command_line_says_how_to_get_it(cdk: Cdk) -> None:
    (cdk.root / "node_modules" / ".bin" / "cdk").unlink()

    with pytest.raises(ConfigurationError, match=r"is missing; run npm ci in "):
        cdk.check()


@pytest.mark.parametrize("verb", ["deploy", "diff", "destroy"])
def test_models_of_this_machine_are_refused_before_anything_runs(tmp_path: Path, verb: str) -> None:
    config = tmp_path / "modelyard.yaml"
    config.write_text(CONFIG.format(bucket="import", path=tmp_path))

    result = run(verb, str(config))

    assert result.exit_code == 1
    assert "models are in a folder of this machine; allowed on AWS" in result.stderr

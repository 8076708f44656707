"""Deploy for real, with the pinned CDK command line, to an AWS that is a process of this machine.

`python -m tests.infra.deploy` (`make deploy-test`): twice the same, then a change; prints what the
CDK prints. Images are not built: their records are put into the registry, as if they were there.
What this AWS does not show: it hands a new layer to no function that has it, and publishes nothing;
`test_assets.py` holds the templates to the new version.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3

ROOT = Path(__file__).parents[2]
CDK = ROOT / "node_modules" / ".bin" / "cdk"
CONFIG = """\
- name: smoke
  kind: Deployment
- name: houses
  kind: MultiModelEndpoint
  models: {{path: s3://a-bucket/houses/}}
  compute: {{memory: 2GiB, shards: {shards}}}
"""
MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"


@contextmanager
def aws() -> Iterator[dict[str, str]]:
    """Run the server; yield the environment in which AWS is there, and nothing else is."""
    command = [sys.executable, ROOT / "tests" / "infra" / "aws_server.py"]
    with (
        tempfile.TemporaryDirectory() as home,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server,
    ):
        assert server.stdout is not None
        said = b""
        while not said[:1].isdigit():  # it speaks of its start before
            said = server.stdout.readline()
            assert said, "the server of AWS ended"
        port, account = said.decode().split()
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": home,
            "AWS_ENDPOINT_URL": f"http://localhost:{port}",  # by number, buckets become hosts
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCOUNT_ID": account,
            "NO_PROXY": "localhost",
            "CDK_DOCKER": "/bin/false",
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "20",
        }
        try:
            yield environ
        finally:
            server.terminate()


def cdk(environ: dict[str, str], *arguments: str) -> str:
    """Run the command line; return and show what it says.

    Raises:
        CalledProcessError: it fails.
    """
    command = [str(CDK), "--no-notices", "--no-version-reporting", *arguments]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environ,
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    sys.stdout.write(f"$ cdk {' '.join(arguments)}\n{done.stdout}\n")
    done.check_returncode()
    return done.stdout


def synthesise(environ: dict[str, str], folder: Path, shards: int) -> Path:
    """Return the assembly of the config with so many shards."""
    config, assembly = folder / "modelyard.yaml", folder / f"shards-{shards}"
    config.write_text(CONFIG.format(shards=shards))
    context = ("-c", f"config={config}", "-c", "without_wheels=1")
    cdk(environ, "synth", "--quiet", "-o", str(assembly), *context)
    return assembly


def seed_images(environ: dict[str, str], assembly: Path) -> None:
    """Put a record of every image into the registry, so that none is built."""
    account, region = environ["AWS_ACCOUNT_ID"], environ["AWS_REGION"]
    registry = client(environ, "ecr")
    for file in assembly.glob("*.assets.json"):
        for digest in json.loads(file.read_text()).get("dockerImages", {}):
            with suppress(registry.exceptions.ImageAlreadyExistsException):
                registry.put_image(
                    repositoryName=f"cdk-hnb659fds-container-assets-{account}-{region}",
                    imageTag=digest,
                    imageManifest=json.dumps({"tag": digest}),
                    imageManifestMediaType=MANIFEST_TYPE,
                )


def client(environ: dict[str, str], service: str) -> Any:
    """Return the SDK's client of a service of that AWS."""
    return boto3.client(
        service,
        endpoint_url=environ["AWS_ENDPOINT_URL"],
        region_name=environ["AWS_REGION"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def deploy(environ: dict[str, str], assembly: Path) -> str:
    """Deploy an assembly; return what is said."""
    options = ("--method=direct", "--require-approval=never", "--progress=events")
    return cdk(environ, "deploy", "--all", "--app", str(assembly), *options)


def outputs_in(said: str) -> list[str]:
    """Return the outputs of both stacks as a deployment prints them."""
    return re.findall(r"^smoke(?:-data)?\.\w+ = .+$", said, re.MULTILINE)


def expect(environ: dict[str, str], service: str, shards: int) -> None:
    """Hold AWS to the states of both stacks and to the functions that there are."""
    stacks = client(environ, "cloudformation").describe_stacks()["Stacks"]
    states = {stack["StackName"]: stack["StackStatus"] for stack in stacks}
    pages = client(environ, "lambda").get_paginator("list_functions").paginate()
    names = sorted(one["FunctionName"] for page in pages for one in page["Functions"])
    sys.stdout.write(f"stacks: {states}\nfunctions: {names}\n\n")
    assert states["smoke-data"] == "CREATE_COMPLETE", states
    assert states["smoke"] == service, states
    inference = [re.fullmatch(r"smoke-houses-\w+-(\d+)", name) for name in names]
    assert [int(found[1]) for found in inference if found] == [*range(shards)], names


def main() -> None:
    """Deploy, deploy again, change."""
    with aws() as environ, tempfile.TemporaryDirectory() as folder:
        cdk(environ, "bootstrap", f"aws://{environ['AWS_ACCOUNT_ID']}/{environ['AWS_REGION']}")
        first = synthesise(environ, Path(folder), shards=2)
        seed_images(environ, first)
        outputs = outputs_in(deploy(environ, first))
        assert any("smoke.EndpointUrl = https://" in line for line in outputs), outputs
        expect(environ, "CREATE_COMPLETE", shards=2)
        again = deploy(environ, first)
        assert again.count("(no changes)") == 2, again
        assert outputs_in(again) == outputs, again
        more = synthesise(environ, Path(folder), shards=3)
        seed_images(environ, more)  # the same ones, unless somebody edits meanwhile
        changed = deploy(environ, more)
        assert outputs_in(changed) == outputs, changed
        expect(environ, "UPDATE_COMPLETE", shards=3)
        sys.stdout.write("made, the same again, changed: as expected\n")


if __name__ == "__main__":
    main()

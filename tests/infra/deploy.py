"""`modelyard deploy`, `diff` and `destroy` for real, to an AWS that is a process of this machine.

`python -m tests.infra.deploy` (`make deploy-test`): a first deployment that fails, then one that
succeeds, the same again, a change, a change that AWS refuses, and the deletion. Images are not
built: their records are put into the registry.
What this AWS does not show: it hands a new layer to no function that has it, and publishes nothing;
`test_assets.py` holds the templates to the new version.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from tests.infra.aws_server import MAX_VPCS

ROOT = Path(__file__).parents[2]
CDK = ROOT / "node_modules" / ".bin" / "cdk"
DOCKER = Path(__file__).with_name("docker_stand_in.py")
MODELYARD = (sys.executable, "-c", "from modelyard.cli.main import app; app()")
BUCKET = "models-of-houses"
CONFIG = """\
- name: smoke
  kind: Deployment
  bucket: create
- name: houses
  kind: MultiModelEndpoint
  models: {{path: s3://{bucket}/houses/}}
  compute: {{memory: {memory}, shards: {shards}}}
"""


@dataclass(frozen=True, slots=True)
class Aws:
    """The account, and the folder from which it is deployed to."""

    environ: dict[str, str]
    account: str
    folder: Path

    def client(self, service: str) -> Any:
        """Return the SDK's client of a service."""
        names = ("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        url, region, key, secret = (self.environ[name] for name in names)
        return boto3.client(
            service,
            endpoint_url=url,
            region_name=region,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
        )

    def config(self, *, shards: int = 2, memory: str = "2GiB") -> str:
        """Write a config file; return its path."""
        file = self.folder / "modelyard.yaml"
        file.write_text(CONFIG.format(bucket=BUCKET, shards=shards, memory=memory))
        return str(file)

    def run(self, *command: str, code: int = 0) -> str:
        """Run a command that must end with this code; return and show what it prints."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environ,
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        shown = " ".join(command).replace(" ".join(MODELYARD), "modelyard")
        sys.stdout.write(f"$ {shown}\n{done.stdout}\n")
        assert done.returncode == code, f"ended with {done.returncode}, not {code}: {shown}"
        return done.stdout

    def modelyard(self, *words: str, code: int = 0) -> str:
        """Run a command of Modelyard."""
        return self.run(*MODELYARD, *words, code=code)

    def expect(self, *, shards: int, memory_mb: int = 2048, **states: str) -> None:
        """Compare the stacks and the inference functions with what must be there."""
        stacks = self.client("cloudformation").describe_stacks()["Stacks"]
        found = {stack["StackName"]: stack["StackStatus"] for stack in stacks}
        pages = self.client("lambda").get_paginator("list_functions").paginate()
        functions = [one for page in pages for one in page["Functions"]]
        inference = {
            one["FunctionName"]: one["MemorySize"]
            for one in functions
            if re.fullmatch(r"smoke-houses-\w+-\d+", one["FunctionName"])
        }
        sys.stdout.write(f"stacks: {found}\nfunctions: {inference}\n\n")
        for name, state in states.items():
            assert found.get(name.replace("_", "-")) == state, found
        assert [*inference.values()] == [memory_mb] * shards, inference

    def has_bucket(self) -> bool:
        """Return whether the bucket of the models exists."""
        buckets = self.client("s3").list_buckets()["Buckets"]
        return BUCKET in [bucket["Name"] for bucket in buckets]


@contextmanager
def aws() -> Iterator[Aws]:
    """Run the server; yield the account, outside of which there is nothing."""
    command = [sys.executable, "-m", "tests.infra.aws_server"]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as server,
    ):
        assert server.stdout is not None
        said = b""
        while not said[:1].isdigit():  # it prints other lines first
            said = server.stdout.readline()
            assert said, "the server of AWS ended"
        port, account = said.decode().split()
        docker = Path(folder) / "docker"
        docker.write_text(f"#!{sys.executable}\n{DOCKER.read_text()}")
        docker.chmod(0o755)
        own = {name: text for name, text in os.environ.items() if not name.startswith("AWS_")}
        environ = own | {
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_ENDPOINT_URL": f"http://localhost:{port}",  # by number, buckets become hosts
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "NO_PROXY": f"localhost,{os.environ.get('NO_PROXY', '')}",
            "CDK_DOCKER": str(docker),
            "COLUMNS": "200",
        }
        try:
            yield Aws(environ, account, Path(folder))
        finally:
            server.terminate()


def first_deployment_that_fails(aws: Aws) -> None:
    """Deploy to a region without room for a VPC; the next deployment must find no obstacle."""
    ec2 = aws.client("ec2")
    others = MAX_VPCS - len(ec2.describe_vpcs()["Vpcs"])
    vpcs = [ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"] for _ in range(others)]
    said = aws.modelyard("deploy", aws.config(), "--yes", code=1)
    assert "The maximum number of VPCs has been reached." in said, said
    aws.expect(shards=0, smoke_data="ROLLBACK_COMPLETE")
    assert not aws.has_bucket(), "the bucket would be in the way of the next deployment"
    for vpc in vpcs:
        ec2.delete_vpc(VpcId=vpc)


def deployment_and_the_same_again(aws: Aws) -> None:
    """Deploy; a second time, nothing may change."""
    said = aws.modelyard("deploy", aws.config(), "--yes")
    assert re.search(r"^ *EndpointUrl +https://", said, re.MULTILINE), said
    aws.expect(shards=2, smoke_data="CREATE_COMPLETE", smoke="CREATE_COMPLETE")
    assert aws.has_bucket()
    again = aws.modelyard("deploy", aws.config(), "--yes")
    assert again.count("(no changes)") == 2, again


def change(aws: Aws) -> None:
    """Add a shard, which `diff` shows before."""
    config = aws.config(shards=3)
    said = aws.modelyard("diff", config)
    assert re.search(r"^\[\+\] AWS::Lambda::Function .*Shard2", said, re.MULTILINE), said
    aws.modelyard("deploy", config, "--yes")
    aws.expect(shards=3, smoke_data="CREATE_COMPLETE", smoke="UPDATE_COMPLETE")


def change_that_fails(aws: Aws) -> None:
    """Ask for more memory than a new account may have: what was there stays, and can be changed."""
    said = aws.modelyard("deploy", aws.config(shards=3, memory="4GiB"), "--yes", code=1)
    assert "'MemorySize' must have value less than or equal to 3008" in said, said
    aws.expect(shards=3, smoke="UPDATE_ROLLBACK_COMPLETE")
    aws.modelyard("deploy", aws.config(shards=3, memory="3008MiB"), "--yes")
    aws.expect(shards=3, memory_mb=3008, smoke="UPDATE_COMPLETE")


def deletion(aws: Aws) -> None:
    """Delete all but the bucket; a deployment that would create it says so before it begins."""
    config = aws.config(shards=3)
    aws.modelyard("destroy", config, "--yes")
    aws.expect(shards=0)
    assert aws.has_bucket()
    said = aws.modelyard("deploy", config, "--check-only", code=1)
    assert "exists already, so it cannot be created" in said, said


def main() -> None:
    """Run each part in turn."""
    with aws() as account:
        account.run(str(CDK), "bootstrap", f"aws://{account.account}/us-east-1")
        for part in (
            first_deployment_that_fails,
            deployment_and_the_same_again,
            change,
            change_that_fails,
            deletion,
        ):
            part(account)
        sys.stdout.write("failed, made, the same again, changed, rolled back, deleted\n")


if __name__ == "__main__":
    main()

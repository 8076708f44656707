"""The numbers of the page about limits are those of the code."""

import re
from pathlib import Path

import pytest

from infra import refusals, settings
from modelyard.aws import deployed
from modelyard.aws.cost.modelyard import BURSTING_SHARE_S
from modelyard.aws.lambda_backend import ANSWER_GRACE_S
from modelyard.config.schema import Deployment
from modelyard.sagemaker.constraints import MAX_BODY_BYTES
from tests.docs import pages

PAGE = pages.text("docs/limits.md")
DEPLOYMENT = Deployment(name="d", kind="Deployment")
LEAST, MOST = (size >> 20 for size in refusals._MEMORY_BYTES)


def constant(path: str, name: str) -> str:
    """Return a number of a file that cannot be imported without Node."""
    found = re.search(rf"^{name} = (.+)$", pages.text(path), re.MULTILINE)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(
    "told",
    [
        f"{MAX_BODY_BYTES:,} bytes",
        f"`sync_window` | {refusals.MAX_WINDOW_S:g} s at most",
        f"the window and {ANSWER_GRACE_S:g} s: 27 s",
        f"`compute.timeout`, {deployed.MAX_TIMEOUT_S:g} s at most",
        f"{LEAST} MiB to {MOST:,} MiB (`compute.memory`)",
        f"all but {deployed.RUNTIME_BYTES >> 20} MiB",
        f"{refusals.MAX_FUNCTIONS} functions in one deployment",
        f"`disk`, {DEPLOYMENT.disk >> 30} GiB unless",
        f"`throttle.rate` requests a second through ({DEPLOYMENT.throttle.rate})",
        f"`throttle.burst` ({DEPLOYMENT.throttle.burst})",
        f"{BURSTING_SHARE_S * 1024 * 1024:.0f} KiB/s of reads",
    ],
)
def test_number_is_that_of_the_code(told: str) -> None:
    assert told in PAGE


def test_numbers_of_the_templates_are_told() -> None:
    assert constant("infra/inference.py", "TMP_BYTES") == "10 << 30"
    assert "9 GiB in each execution environment" in PAGE
    assert deployed.MAX_WARMERS == 10
    assert "Up to ten warm messages are processed at the same time" in PAGE
    assert deployed.ROUTER_TIMEOUT_S == 29
    assert "| a call in all | 29 s | API Gateway |" in PAGE


def test_outputs_of_a_deployment_are_told() -> None:
    outputs = re.findall(r'self\._print\(\s*f?"(\w+)', pages.text("infra/outputs.py"))
    table = pages.text("docs/deploy.md").partition("It ends with outputs:")[2].partition("## ")[0]

    assert len(outputs) > 5
    assert [name for name in outputs if f".{name}" not in table] == []


def test_configs_of_the_page_about_deploying_can_be_deployed(tmp_path: Path) -> None:
    config, of_company = pages.blocks(pages.text("docs/deploy.md"), "yaml")
    file = tmp_path / "modelyard.yaml"
    file.write_text(config)

    found = settings.load_settings(file, {})

    assert (found.name, found.buckets) == ("houses", ("my-unique-bucket-name",))
    assert [item.name for item in found.endpoints] == ["home-value"]
    endpoint = config[config.index("- name: home-value") :]
    file.write_text(of_company + endpoint)
    assert settings.load_settings(file, {}).deployment.callers == ["444455556666"]

"""`make checkov`: which templates it looks at, and what it is told not to look for."""

import json
import subprocess
from fnmatch import fnmatch

import yaml

from tests.infra.synthesis import ROOT, Synthesis, resources

CONFIG = ROOT / ".ci" / "checkov.yaml"
PINS = ROOT / ".ci" / "checkov-requirements.txt"


def test_every_skip_has_a_reason() -> None:
    told = CONFIG.read_text().partition("skip-check:\n")[2].splitlines()

    skips = [line for line in told if line.lstrip().startswith("-")]
    reasons = [line for line in told if line.startswith("  # ") and line.endswith(".")]

    assert told == [line for pair in zip(reasons, skips, strict=True) for line in pair]


def test_skips_are_single_checks_named_once() -> None:
    skips = yaml.safe_load(CONFIG.read_text())["skip-check"]

    assert len(skips) > 0
    assert len({*skips}) == len(skips)
    assert [name for name in skips if not name.removeprefix("CKV_AWS_").isdigit()] == []


def test_nothing_is_fetched_and_no_failure_is_soft() -> None:
    config = yaml.safe_load(CONFIG.read_text())

    assert config["skip-download"] is True
    assert {"soft-fail", "soft-fail-on", "bc-api-key", "baseline"}.isdisjoint(config)


def test_every_template_is_looked_at(plain: Synthesis) -> None:
    said = subprocess.run(
        ["make", "--dry-run", "checkov"], cwd=ROOT, text=True, capture_output=True, check=True
    ).stdout
    artifacts = json.loads((plain.folder / "manifest.json").read_text())["artifacts"].values()
    stacks = [one for one in artifacts if one["type"] == "aws:cloudformation:stack"]

    pattern = said.replace("\\\n", " ").split("--file ")[1].split()[0]

    assert len(stacks) == 2
    for stack in stacks:
        assert fnmatch(f"cdk.out/{stack['properties']['templateFile']}", pattern)


def test_its_pins_have_hashes_and_name_no_index() -> None:
    pins = PINS.read_text()

    packages = [line for line in pins.splitlines() if "==" in line and not line.startswith(" ")]

    assert any(line.startswith("checkov==") for line in packages)
    assert [line for line in packages if not line.endswith("\\")] == []
    assert "://" not in pins


def test_queues_are_encrypted(plain: Synthesis, changed: Synthesis) -> None:
    queues = [
        queue
        for synthesis in (plain, changed)
        for queue in resources(synthesis.service, "SQS::Queue").values()
    ]

    assert len(queues) == 6
    assert [queue for queue in queues if queue.get("SqsManagedSseEnabled") is not True] == []

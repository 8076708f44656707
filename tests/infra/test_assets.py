"""What is sent to AWS changes when what runs there changes, and for no other reason."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.infra.synthesis import PROJECTS, ROOT, Synthesis, resources, synthesise

pytestmark = pytest.mark.long

PARTS = ("functions", "infra", "layers/modelyard", "layers/dependencies", "docs/deploy.md")
CONFIGS = ("projects/plain.yaml", "projects/cortex/cortex.yaml")
IMAGES = {"image of yard", "image of modelyard"}
UNDEPLOYED = (
    "README.md",
    "docs/deploy.md",
    "infra/alarms.md",
    "tests/unit/domain/test_units.py",
    "functions/README.md",
    "functions/router/notes.md",
    "functions/router/__pycache__/handler.cpython-314.pyc",
    "functions/inference/__pycache__/handler.cpython-314.pyc",
    "layers/modelyard/README.md",
    "layers/modelyard/python/modelyard/cli/main.py",
    "layers/modelyard/python/modelyard/config/schema.py",
    "layers/modelyard/python/modelyard/local/supervisor.py",
    "layers/modelyard/python/modelyard/aws/cost/price_list.py",
    "layers/modelyard/python/modelyard/aws/dead_letters.py",
    "layers/modelyard/python/modelyard/domain/__pycache__/envelope.cpython-314.pyc",
    "projects/README.md",
    "projects/cortex/__pycache__/predictor.cpython-314.pyc",
    "projects/cortex/.git/HEAD",
)
DEPLOYED = {
    "functions/router/handler.py": {"router"},
    "functions/warmer/handler.py": {"warmer"},
    "functions/inference/handler.py": IMAGES,
    "functions/inference/Dockerfile": IMAGES,
    "layers/modelyard/python/modelyard/domain/envelope.py": {"package", *IMAGES},
    "layers/modelyard/python/modelyard/router/router.py": {"package"},
    "layers/modelyard/python/modelyard/inference/service.py": IMAGES,
    "layers/dependencies/requirements.txt": {"dependencies"},
    "projects/cortex/predictor.py": {"image of modelyard"},
    "projects/cortex/requirements.txt": {"image of modelyard"},
}

Hashes = dict[str, str]
Ask = Callable[..., Hashes]


def copy_to(tree: Path) -> None:
    """Write what assets are made of, and a bit of what they are not."""
    for part in PARTS:
        (tree / part).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, tree / part)
    shutil.copytree(PROJECTS, tree / "projects", ignore=shutil.ignore_patterns("__pycache__"))


@pytest.fixture(scope="module")
def after_change(tmp_path_factory: pytest.TempPathFactory):
    """Return the hashes of all assets once files of a copy of this tree are others."""
    tree = tmp_path_factory.mktemp("tree").resolve()
    copy_to(tree)
    path = os.pathsep.join([str(tree), str(tree / "layers" / "modelyard" / "python")])
    process = subprocess.Popen(
        [sys.executable, Path(__file__).parent / "asset_hashes.py", *CONFIGS],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:

        def ask(*files: str) -> Hashes:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(files) + "\n")
            process.stdin.flush()
            found: Hashes = json.loads(process.stdout.readline())
            return found

        yield ask


@pytest.fixture(scope="module")
def unchanged(after_change: Ask) -> Hashes:
    """The hashes of the copy as it is."""
    return after_change()


def test_every_asset_of_a_deployment_is_looked_at(unchanged: Hashes) -> None:
    assert unchanged.keys() == {
        "router", "warmer", "package", "dependencies", "manifest", *IMAGES,
    }  # fmt: skip


def test_files_that_do_not_run_change_no_hash(after_change: Ask, unchanged: Hashes) -> None:
    assert after_change(*UNDEPLOYED) == unchanged


@pytest.mark.parametrize("file", DEPLOYED)
def test_a_file_that_runs_changes_the_hashes_of_what_has_it_and_no_others(
    file: str, after_change: Ask, unchanged: Hashes
) -> None:
    found = after_change(file)

    assert {name for name in unchanged if found[name] != unchanged[name]} == DEPLOYED[file]


def test_another_number_of_shards_publishes_a_new_version_of_the_router(
    plain: Synthesis, tmp_path: Path
) -> None:
    config = tmp_path / "modelyard.yaml"
    config.write_text((PROJECTS / "plain.yaml").read_text().replace("shards: 3", "shards: 4"))

    more = synthesise(config, tmp_path / "assembly")

    assert version_of_live(more) != version_of_live(plain)


def version_of_live(synthesis: Synthesis) -> str:
    [alias] = resources(synthesis.service, "Lambda::Alias").values()
    [version, attribute] = alias["FunctionVersion"]["Fn::GetAtt"]
    assert (alias["Name"], attribute) == ("live", "Version")
    assert version in resources(synthesis.service, "Lambda::Version")
    return str(version)

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import pytest

from modelyard.domain.errors import ConfigurationError
from modelyard.inference.environments.environments import Environment, Environments
from modelyard.runtimes.requirements import Requirements
from tests.models.wheels import OFFLINE, write_installed, write_requirements, write_wheel


def output_of(environment: Environment, code: str) -> str:
    command = [str(environment.python), "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def no_report(line: str) -> None:
    raise AssertionError(f"pip was not to run, yet it said: {line}")


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two projects, `one` and `two`, that ask for two versions of `tinypkg`."""
    folder = tmp_path_factory.mktemp("projects")
    for name, number in (("one", "1.0"), ("two", "2.0")):
        write_wheel(folder / name / "wheels", "tinypkg", number, script="tiny")
        write_requirements(folder / name, f"{OFFLINE}tinypkg=={number}\n")
    return folder


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Environments:
    return Environments(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def said() -> list[str]:
    """What pip said while it made `one`."""
    return []


@pytest.fixture(scope="module")
def one(projects: Path, environments: Environments, said: list[str]) -> Environment:
    return environments.create(
        Requirements.of_file(projects / "one" / "requirements.txt"), said.append
    )


def test_line_that_pip_refuses_is_refused_in_pips_words(tmp_path: Path) -> None:
    file = write_requirements(tmp_path, "--no-index\npandas 2\n")

    with pytest.raises(ConfigurationError, match="Invalid requirement: 'pandas 2'"):
        Environments(tmp_path / "cache").create(Requirements.of_file(file), lambda line: None)


@pytest.mark.long
def test_environments_differ_in_versions_side_by_side(
    projects: Path, environments: Environments, one: Environment
) -> None:
    two = environments.create(
        Requirements.of_file(projects / "two" / "requirements.txt"), lambda line: None
    )

    assert output_of(one, "import tinypkg; print(tinypkg.VERSION)") == "1.0"
    assert output_of(two, "import tinypkg; print(tinypkg.VERSION)") == "2.0"


def test_environment_has_the_servers_packages_below_its_own(one: Environment) -> None:
    places = output_of(
        one, "import modelyard, orjson, tinypkg; print(orjson.__file__, tinypkg.__file__)"
    )
    orjson_file, tinypkg_file = map(Path, places.split())

    assert not orjson_file.is_relative_to(one.home)
    assert tinypkg_file.parent == one.site_packages


@pytest.mark.long
def test_own_package_wins_over_the_servers_which_stays(
    tmp_path: Path, environments: Environments
) -> None:
    servers = version("idna")
    write_wheel(tmp_path / "wheels", "idna", "0.1")
    file = write_requirements(tmp_path, f"{OFFLINE}idna==0.1\n")

    environment = environments.create(Requirements.of_file(file), lambda line: None)

    assert output_of(environment, "import idna; print(idna.VERSION)") == "0.1"
    assert Requirements.of_file(file).missing() == [f"idna==0.1: {servers} is installed"]


def test_scripts_of_an_environment_run(one: Environment) -> None:
    answer = subprocess.run([one.python.with_name("tiny")], check=True, capture_output=True)

    assert answer.stdout == b"1.0\n"


def test_pip_is_heard_line_by_line(one: Environment, said: list[str]) -> None:
    assert "Successfully installed tinypkg-1.0" in said


def test_second_create_runs_no_pip(
    projects: Path, environments: Environments, one: Environment
) -> None:
    again = environments.create(
        Requirements.of_file(projects / "one" / "requirements.txt"), no_report
    )

    assert again.home == one.home


@pytest.mark.long
def test_creators_of_one_environment_share_it(tmp_path: Path) -> None:
    write_wheel(tmp_path / "wheels", "tinypkg", "1.0")
    file = write_requirements(tmp_path, f"{OFFLINE}tinypkg\n")
    said: list[str] = []

    with ThreadPoolExecutor(2) as pool:
        tries = [
            pool.submit(Environments(tmp_path).create, Requirements.of_file(file), said.append)
            for _ in range(2)
        ]

    assert tries[0].result().home == tries[1].result().home
    assert said.count("Successfully installed tinypkg-1.0") == 1


def test_failed_install_leaves_nothing_but_pips_last_words(tmp_path: Path) -> None:
    file = write_requirements(tmp_path, "--no-index\nno-such-package==1.0\n")
    environments = Environments(tmp_path / "cache")

    with pytest.raises(ConfigurationError) as caught:
        environments.create(Requirements.of_file(file), lambda line: None)

    assert "No matching distribution found for no-such-package==1.0" in caught.value.message
    assert caught.value.message.startswith("requirements.txt: pip cannot install it:\n")
    assert caught.value.message.endswith("run again without --install")
    assert [path for path in (tmp_path / "cache").rglob("*") if path.suffix != ".lock"] == [
        tmp_path / "cache" / "environments"
    ]


def test_stopped_install_leaves_nothing_and_is_made_anew(tmp_path: Path) -> None:
    write_wheel(tmp_path / "wheels", "tinypkg", "1.0")
    file = write_requirements(tmp_path, f"{OFFLINE}tinypkg\n")
    environments = Environments(tmp_path / "cache")

    def stop(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        environments.create(Requirements.of_file(file), stop)

    assert environments.find(Requirements.of_file(file)) is None
    assert not [path for path in (tmp_path / "cache" / "environments").iterdir() if path.is_dir()]


@pytest.mark.long
def test_what_a_killed_install_left_is_not_taken_for_an_environment(
    tmp_path: Path, projects: Path, one: Environment
) -> None:
    environments = Environments(tmp_path)
    file = projects / "one" / "requirements.txt"
    half_made = tmp_path / "environments" / one.home.name
    write_installed(half_made / one.site_packages.relative_to(one.home), "tinypkg", "1.0")

    assert environments.find(Requirements.of_file(file)) is None

    made = environments.create(Requirements.of_file(file), lambda line: None)

    assert made.home == half_made
    assert output_of(made, "import tinypkg; print(tinypkg.VERSION)") == "1.0"


def test_environment_that_lost_a_package_is_not_found(
    tmp_path: Path, projects: Path, one: Environment
) -> None:
    file = projects / "one" / "requirements.txt"
    home = tmp_path / "environments" / one.home.name
    shutil.copytree(one.home, home, symlinks=True)
    assert Environments(tmp_path).find(Requirements.of_file(file)) is not None

    site_packages = home / one.site_packages.relative_to(one.home)
    (site_packages / "tinypkg-1.0.dist-info" / "METADATA").unlink()

    assert Environments(tmp_path).find(Requirements.of_file(file)) is None


def test_cache_folder_that_cannot_be_written_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    file = write_requirements(tmp_path, "tinypkg\n")

    with pytest.raises(ConfigurationError, match="cannot create an environment: Not a directory"):
        Environments(tmp_path / "cache").create(Requirements.of_file(file), no_report)


@pytest.mark.long
def test_interpreter_without_pip_gives_the_environment_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pip", None)
    write_wheel(tmp_path / "wheels", "tinypkg", "1.0")
    file = write_requirements(tmp_path, f"{OFFLINE}tinypkg\n")

    environment = Environments(tmp_path / "cache").create(
        Requirements.of_file(file), lambda line: None
    )

    assert (environment.site_packages / "pip").is_dir()


@pytest.fixture
def local_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pip find `tinypkg` 1.0 by its own configuration, so that files need no options."""
    write_wheel(tmp_path / "index", "tinypkg", "1.0")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))


@pytest.mark.long
@pytest.mark.usefixtures("local_index")
def test_equal_requirements_share_an_environment_until_they_differ(tmp_path: Path) -> None:
    environments = Environments(tmp_path / "cache")
    write_requirements(tmp_path / "a", "-r base.txt\n-c limits.txt\n")
    other = write_requirements(tmp_path / "b", "# the same\n-r base.txt\n-c limits.txt\n")
    for folder in (tmp_path / "a", tmp_path / "b"):
        (folder / "base.txt").write_text("tinypkg==1.0\n")
        (folder / "limits.txt").write_text("tinypkg<2\n")

    made = environments.create(
        Requirements.of_file(tmp_path / "a" / "requirements.txt"), lambda line: None
    )

    assert environments.find(Requirements.of_file(other)).home == made.home
    (tmp_path / "b" / "limits.txt").write_text("tinypkg<3\n")
    assert environments.find(Requirements.of_file(other)) is None
    (tmp_path / "b" / "limits.txt").write_text("tinypkg<2\n")
    (tmp_path / "b" / "base.txt").write_text("tinypkg>=1.0\n")
    assert environments.find(Requirements.of_file(other)) is None


def test_equal_lines_that_mean_the_folder_share_nothing(
    tmp_path: Path, environments: Environments, one: Environment, projects: Path
) -> None:
    same = (projects / "one" / "requirements.txt").read_text()
    file = write_requirements(tmp_path, same)

    assert (
        environments.find(Requirements.of_file(projects / "one" / "requirements.txt")).home
        == one.home
    )
    assert environments.find(Requirements.of_file(file)) is None


def complete(root: Path, name: str, size_bytes: int, used_at: float) -> Path:
    """Write an environment as large as it says, and return its folder."""
    home = root / "environments" / name
    home.mkdir(parents=True)
    (home / "complete").write_text(json.dumps({"size_bytes": size_bytes, "missing": []}))
    os.utime(home / "complete", (used_at, used_at))
    return home


def folders(root: Path) -> set[str]:
    return {path.name for path in (root / "environments").iterdir() if path.is_dir()}


@pytest.mark.long
def test_least_recently_used_environments_make_room_unless_they_are_in_use(tmp_path: Path) -> None:
    for name, used_at in (("in-use", 1), ("oldest", 2), ("newest", 3)):
        complete(tmp_path, name, 1 << 30, used_at)
    asked = Requirements.of_file(write_requirements(tmp_path, "--no-index\n"))
    lock = (tmp_path / "environments" / "in-use.lock").open("w")

    with lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        made = Environments(tmp_path, 5 << 29).create(asked, lambda line: None)

    assert folders(tmp_path) == {"in-use", "newest", made.home.name}


@pytest.mark.long
def test_environment_without_room_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    asked = Requirements.of_file(write_requirements(tmp_path, "--no-index\n"))

    with pytest.raises(ConfigurationError, match=r"all together may take 1\.0 KiB"):
        Environments(tmp_path, 1024).create(asked, lambda line: None)

    assert folders(tmp_path) == set()


@pytest.mark.long
def test_killed_installation_leaves_nothing(tmp_path: Path) -> None:
    file = write_requirements(tmp_path, f"{OFFLINE}tinypkg\n")
    write_wheel(tmp_path / "wheels", "tinypkg", "1.0")
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from modelyard.inference.environments.environments import Environments\n"
        "from modelyard.runtimes.requirements import Requirements\n"
        "kill = lambda line: os.kill(os.getpid(), signal.SIGKILL)\n"
        "root, file = map(Path, sys.argv[1:])\n"
        "Environments(root).create(Requirements.of_file(file), kill)\n"
    )

    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path), str(file)], check=False)
    [lock_file] = (tmp_path / "environments").glob("*.lock")
    with lock_file.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until pip has ended, too
    Environments(tmp_path).clean()

    assert killed.returncode == -signal.SIGKILL
    assert list((tmp_path / "environments").iterdir()) == []

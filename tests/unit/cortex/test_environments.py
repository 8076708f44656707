import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelyard.cortex.environments import (
    Environment,
    Environments,
    ignored_files,
    missing_requirements,
    python_for,
    requirements_file,
)
from modelyard.cortex.project import ApiProject, PredictorType
from modelyard.domain.errors import ConfigurationError

OFFLINE = "--no-index\n--find-links ./wheels\n"

# The characters that lines are made of, so that random texts come near to requirements.
LINES = st.text(st.sampled_from("ab1.-_=<>!~,;@[]()#\\/:'\" \t\n\x00\u2028é${}rce"), max_size=60)


def write_wheel(folder: Path, name: str, number: str, script: str = "") -> None:
    """Write the smallest wheel pip takes: a module that knows its version."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{number}.dist-info"
    files = {
        f"{name}.py": f"VERSION = {number!r}\ndef main():\n    print(VERSION)\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
    }
    if script:
        files[f"{info}/entry_points.txt"] = f"[console_scripts]\n{script} = {name}:main\n"
    record = f"{info}/RECORD"
    files[record] = "".join(f"{path},,\n" for path in (*files, record))
    wheel = folder / f"{name}-{number}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)


def write_installed(folder: Path, name: str, number: str) -> None:
    """Write what an installer leaves behind of a distribution, for looking up only."""
    info = folder / f"{name}-{number}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n")


def write_requirements(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "requirements.txt"
    file.write_text(text)
    return file


def project(folder: Path, predictor_file: str = "predictor.py") -> ApiProject:
    return ApiProject("api", PredictorType.PYTHON, str(folder), predictor_file)


def output_of(environment: Environment, code: str) -> str:
    command = [str(environment.python), "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def refusal(file: Path) -> str:
    with pytest.raises(ConfigurationError) as caught:
        missing_requirements(file)
    return caught.value.message


def no_report(line: str) -> None:
    raise AssertionError(f"pip was not to run, yet it said: {line}")


@pytest.fixture
def installed(tmp_path: Path) -> list[str]:
    """A search path where `Tiny.Pkg` 1.4 and `pandas` 2.3.1 are installed."""
    folder = tmp_path / "installed"
    write_installed(folder, "Tiny.Pkg", "1.4")
    write_installed(folder, "pandas", "2.3.1")
    return [str(folder)]


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
    return environments.create(projects / "one" / "requirements.txt", said.append)


def test_requirements_are_read_at_the_root_as_in_cortex(tmp_path: Path) -> None:
    root = write_requirements(tmp_path, "")
    write_requirements(tmp_path / "src", "")

    assert requirements_file(tmp_path, "src/predictor.py") == root


def test_requirements_beside_the_predictor_are_read_too(tmp_path: Path) -> None:
    beside = write_requirements(tmp_path / "src", "")

    assert requirements_file(tmp_path, "src/predictor.py") == beside
    assert requirements_file(tmp_path, "predictor.py") is None


def test_files_that_only_cortex_installs_from_are_named(tmp_path: Path) -> None:
    assert ignored_files(tmp_path) == []

    (tmp_path / "dependencies.sh").touch()
    (tmp_path / "conda-packages.txt").touch()

    assert ignored_files(tmp_path) == ["conda-packages.txt", "dependencies.sh"]


@pytest.mark.parametrize(
    ("line", "missing"),
    [
        ("pandas", None),
        ("pandas>=2,<3", None),
        ("PANDAS >= 2  # why", None),
        ("tiny_pkg==1.4", None),
        ("tiny-pkg[fast]~=1.0", None),
        ("pandas==1.1.5", "pandas==1.1.5: 2.3.1 is installed"),
        ("pandas==1.1.5 ; python_version >= '3'", "pandas==1.1.5: 2.3.1 is installed"),
        ("mlflow>=2", "mlflow>=2: not installed"),
        ("mlflow>=2; python_version < '3'", None),
        ("mlflow==2.0 --hash=sha256:00", "mlflow==2.0: not installed"),
        ("mlflow==2.0 \\\n  --hash=sha256:00 \\\n  --hash=sha256:01", "mlflow==2.0: not installed"),
        ("mlflow @ https://token@host.invalid/mlflow.zip", "mlflow: not installed"),
        ("pandas@https://host.invalid/pandas.zip", None),
    ],
    ids=repr,
)
def test_each_requirement_is_met_or_missing(
    tmp_path: Path, installed: list[str], line: str, missing: str | None
) -> None:
    file = write_requirements(tmp_path, f"# comment with a \\\n\n{line}\n")

    assert missing_requirements(file, installed) == ([missing] if missing else [])


@pytest.mark.parametrize(
    "line",
    [
        "--index-url ./simple",
        "-f ./wheels",
        "--no-binary :all:",
        "-e .",
        "--editable=./lib",
        "./lib",
        "../lib[extra]",
        "lib/",
        "lib.tar.gz",
        "https://host.invalid/pandas.zip",
        "git+ssh://git@host.invalid/lib.git@main",
        "-r https://host.invalid/requirements.txt",
    ],
)
def test_what_only_pip_understands_is_left_to_pip(
    tmp_path: Path, installed: list[str], line: str
) -> None:
    file = write_requirements(tmp_path, f"{line}\nmlflow\n")

    assert missing_requirements(file, installed) == ["mlflow: not installed"]


@pytest.mark.parametrize("option", ["-r ", "-r", "--requirement ", "--requirement=", "-r '"])
def test_nested_files_are_followed_from_their_own_folder(
    tmp_path: Path, installed: list[str], option: str
) -> None:
    quote = "'" if option.endswith("'") else ""
    file = write_requirements(tmp_path, f"{option}more/base.txt{quote}\nmlflow\n")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "base.txt").write_text("-r other.txt\nscipy\n")
    (tmp_path / "more" / "other.txt").write_text("numpy\n")

    expected = ["numpy: not installed", "scipy: not installed", "mlflow: not installed"]
    assert missing_requirements(file, installed) == expected


def test_files_that_name_each_other_are_read_once(tmp_path: Path) -> None:
    file = write_requirements(tmp_path, "-r other.txt\nno-such-a\n")
    (tmp_path / "other.txt").write_text("-r requirements.txt\n-r ./other.txt\nno-such-b\n")

    assert missing_requirements(file) == ["no-such-b: not installed", "no-such-a: not installed"]


def test_constraints_are_no_requirements(tmp_path: Path, installed: list[str]) -> None:
    file = write_requirements(tmp_path, "-c limits.txt\npandas\n")
    (tmp_path / "limits.txt").write_text("mlflow==1.0\n")

    assert missing_requirements(file, installed) == []


def test_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path, installed: list[str]) -> None:
    file = write_requirements(tmp_path, "\ufeffpandas==1.1.5\n")

    assert missing_requirements(file, installed) == ["pandas==1.1.5: 2.3.1 is installed"]


def test_first_place_of_the_search_counts(tmp_path: Path, installed: list[str]) -> None:
    write_installed(tmp_path / "first", "pandas", "1.1.5")
    file = write_requirements(tmp_path, "pandas==1.1.5\n")

    assert missing_requirements(file, [str(tmp_path / "first"), *installed]) == []
    assert missing_requirements(file, [*installed, str(tmp_path / "first")]) != []


def test_remains_of_an_uninstalled_package_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "tinypkg-1.0.dist-info").mkdir()
    file = write_requirements(tmp_path, "tinypkg\n")

    assert missing_requirements(file, [str(tmp_path)]) == ["tinypkg: not installed"]


def test_remains_do_not_count_for_the_finder_of_another_package(tmp_path: Path) -> None:
    (tmp_path / "tinypkg-1.0.dist-info").mkdir()
    file = write_requirements(tmp_path, "tinypkg\n")
    code = (
        "import importlib_metadata\n"  # MLflow imports it; it replaces the finder of Python
        "from pathlib import Path\n"
        "from modelyard.cortex.environments import missing_requirements\n"
        f"print(missing_requirements(Path({str(file)!r}), [{str(tmp_path)!r}]))"
    )

    printed = subprocess.check_output([sys.executable, "-c", code], text=True)

    assert printed.strip() == "['tinypkg: not installed']"


@pytest.mark.parametrize(
    "line", ["pandas 2", "pandas=>2", "pandas; python_version ~= 'a'", "a; 'b' == 'c'", "(x)"]
)
def test_line_that_pip_will_refuse_is_named_by_file_and_number(tmp_path: Path, line: str) -> None:
    file = write_requirements(tmp_path, "-r base.txt\n")
    (tmp_path / "base.txt").write_text(f"# first\npytest \\\n  >=1\n{line}\n")

    [message] = missing_requirements(file)

    assert message.startswith(f"base.txt: line 4: {line!r} is not a requirement: ")


def test_line_that_pip_refuses_is_refused_in_pips_words(tmp_path: Path) -> None:
    file = write_requirements(tmp_path, "--no-index\npandas 2\n")

    with pytest.raises(ConfigurationError, match="Invalid requirement: 'pandas 2'"):
        Environments(tmp_path / "cache").create(file, lambda line: None)


@pytest.mark.parametrize(
    "line",
    [
        "git+https://host.invalid/lib.git@v1#egg=lib",
        "git+ssh://git@host.invalid/lib.git#subdirectory=python&egg=lib",
        "https://host.invalid/lib.zip#egg=lib[extra]",
        "-e git+https://host.invalid/lib.git#egg=lib",
        "https://host.invalid/cpu/lib-1.6.0%2Bcpu-cp37-cp37m-linux_x86_64.whl",
        "wheels/lib-1.0-py3-none-any.whl ; python_version > '3'",
        "lib-1.0-py3-none-any.whl",
        "--editable=./lib#egg=lib  # why",
    ],
)
def test_url_counts_by_the_name_of_its_egg(tmp_path: Path, line: str) -> None:
    file = write_requirements(tmp_path, f"{line}\n")
    write_installed(tmp_path / "installed", "lib", "1.0")

    assert missing_requirements(file, []) == ["lib: not installed"]
    assert missing_requirements(file, [str(tmp_path / "installed")]) == []


def test_nested_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    file = write_requirements(tmp_path, "-r base.txt\n")

    assert refusal(file) == "base.txt: this file does not exist"


def test_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    file = write_requirements(tmp_path, "")
    file.write_bytes(b"\xff\xfe\xff")

    assert refusal(file) == "requirements.txt: cannot be read as UTF-8 text"


def test_device_named_as_requirements_is_not_read(tmp_path: Path) -> None:
    assert refusal(write_requirements(tmp_path, "-r /dev/zero\n")).startswith("zero: ")


@given(text=LINES | st.text(max_size=60))
@example(text="-r\0")
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "requirements.txt"
    file.write_text(text, encoding="utf-8", errors="replace", newline="")

    try:
        missing = missing_requirements(file, [])
    except ConfigurationError:
        return

    assert all(
        line.endswith(": not installed") or " is not a requirement: " in line for line in missing
    )


@given(
    names=st.lists(st.sampled_from(["numpy", "scipy", "mlflow"]), max_size=5),
    noise=st.lists(st.sampled_from(["", "  ", "# mlflow", "\t# \\", "--pre"]), min_size=6),
)
def test_comments_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], noise: list[str]
) -> None:
    file = tmp_path_factory.getbasetemp() / "requirements.txt"
    lines = [line for pair in zip(noise, [*names, ""], strict=False) for line in pair]
    file.write_text("\n".join(lines))

    assert missing_requirements(file, []) == [f"{name}: not installed" for name in names]


def test_environments_differ_in_versions_side_by_side(
    projects: Path, environments: Environments, one: Environment
) -> None:
    two = environments.create(projects / "two" / "requirements.txt", lambda line: None)

    assert output_of(one, "import tinypkg; print(tinypkg.VERSION)") == "1.0"
    assert output_of(two, "import tinypkg; print(tinypkg.VERSION)") == "2.0"


def test_environment_has_the_servers_packages_below_its_own(one: Environment) -> None:
    places = output_of(
        one, "import modelyard, orjson, tinypkg; print(orjson.__file__, tinypkg.__file__)"
    )
    orjson_file, tinypkg_file = map(Path, places.split())

    assert not orjson_file.is_relative_to(one.home)
    assert tinypkg_file.parent == one.site_packages


def test_own_package_wins_over_the_servers_which_stays(
    tmp_path: Path, environments: Environments
) -> None:
    servers = version("idna")
    write_wheel(tmp_path / "wheels", "idna", "0.1")
    file = write_requirements(tmp_path, f"{OFFLINE}idna==0.1\n")

    environment = environments.create(file, lambda line: None)

    assert output_of(environment, "import idna; print(idna.VERSION)") == "0.1"
    assert missing_requirements(file) == [f"idna==0.1: {servers} is installed"]


def test_scripts_of_an_environment_run(one: Environment) -> None:
    answer = subprocess.run([one.python.with_name("tiny")], check=True, capture_output=True)

    assert answer.stdout == b"1.0\n"


def test_pip_is_heard_line_by_line(one: Environment, said: list[str]) -> None:
    assert "Successfully installed tinypkg-1.0" in said


def test_second_create_runs_no_pip(
    projects: Path, environments: Environments, one: Environment
) -> None:
    again = environments.create(projects / "one" / "requirements.txt", no_report)

    assert again == one


@pytest.mark.long
def test_creators_of_one_environment_share_it(tmp_path: Path) -> None:
    write_wheel(tmp_path / "wheels", "tinypkg", "1.0")
    file = write_requirements(tmp_path, f"{OFFLINE}tinypkg\n")
    said: list[str] = []

    with ThreadPoolExecutor(2) as pool:
        tries = [pool.submit(Environments(tmp_path).create, file, said.append) for _ in range(2)]

    assert tries[0].result() == tries[1].result()
    assert said.count("Successfully installed tinypkg-1.0") == 1


def test_failed_install_leaves_nothing_but_pips_last_words(tmp_path: Path) -> None:
    file = write_requirements(tmp_path, "--no-index\nno-such-package==1.0\n")
    environments = Environments(tmp_path / "cache")

    with pytest.raises(ConfigurationError) as caught:
        environments.create(file, lambda line: None)

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
        environments.create(file, stop)

    assert environments.find(file) is None
    assert not [path for path in (tmp_path / "cache" / "environments").iterdir() if path.is_dir()]


@pytest.mark.long
def test_what_a_killed_install_left_is_not_taken_for_an_environment(
    tmp_path: Path, projects: Path, one: Environment
) -> None:
    environments = Environments(tmp_path)
    file = projects / "one" / "requirements.txt"
    half_made = tmp_path / "environments" / one.home.name
    write_installed(half_made / one.site_packages.relative_to(one.home), "tinypkg", "1.0")

    assert environments.find(file) is None

    made = environments.create(file, lambda line: None)

    assert made.home == half_made
    assert output_of(made, "import tinypkg; print(tinypkg.VERSION)") == "1.0"


def test_environment_that_lost_a_package_is_not_found(
    tmp_path: Path, projects: Path, one: Environment
) -> None:
    file = projects / "one" / "requirements.txt"
    home = tmp_path / "environments" / one.home.name
    shutil.copytree(one.home, home, symlinks=True)
    assert Environments(tmp_path).find(file) is not None

    site_packages = home / one.site_packages.relative_to(one.home)
    (site_packages / "tinypkg-1.0.dist-info" / "METADATA").unlink()

    assert Environments(tmp_path).find(file) is None


def test_cache_folder_that_cannot_be_written_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    file = write_requirements(tmp_path, "tinypkg\n")

    with pytest.raises(ConfigurationError, match="cannot create an environment: Not a directory"):
        Environments(tmp_path / "cache").create(file, no_report)


@pytest.mark.long
def test_interpreter_without_pip_gives_the_environment_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pip", None)
    write_wheel(tmp_path / "wheels", "tinypkg", "1.0")
    file = write_requirements(tmp_path, f"{OFFLINE}tinypkg\n")

    environment = Environments(tmp_path / "cache").create(file, lambda line: None)

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

    made = environments.create(tmp_path / "a" / "requirements.txt", lambda line: None)

    assert environments.find(other) == made
    (tmp_path / "b" / "limits.txt").write_text("tinypkg<3\n")
    assert environments.find(other) is None
    (tmp_path / "b" / "limits.txt").write_text("tinypkg<2\n")
    (tmp_path / "b" / "base.txt").write_text("tinypkg>=1.0\n")
    assert environments.find(other) is None


def test_equal_lines_that_mean_the_folder_share_nothing(
    tmp_path: Path, environments: Environments, one: Environment, projects: Path
) -> None:
    same = (projects / "one" / "requirements.txt").read_text()
    file = write_requirements(tmp_path, same)

    assert environments.find(projects / "one" / "requirements.txt") == one
    assert environments.find(file) is None


def test_project_without_requirements_runs_on_the_servers_interpreter(tmp_path: Path) -> None:
    environments = Environments(tmp_path)

    found = python_for(project(tmp_path), environments, install=True, report=no_report)

    assert found == Path(sys.executable)


def test_requirements_the_server_meets_need_no_environment(tmp_path: Path) -> None:
    write_requirements(tmp_path, "orjson\npytest>=1\n")

    found = python_for(project(tmp_path), Environments(tmp_path), install=True, report=no_report)

    assert found == Path(sys.executable)


def test_what_is_missing_is_said_with_the_remedy(tmp_path: Path) -> None:
    write_requirements(tmp_path, "no-such-package>=2\npytest==1.0\n")

    with pytest.raises(ConfigurationError) as caught:
        python_for(project(tmp_path), Environments(tmp_path), install=False, report=no_report)

    assert caught.value.message == (
        f"requirements.txt: no-such-package>=2: not installed; pytest==1.0: {pytest.__version__} "
        "is installed. Run again with --install, which installs them into a separate "
        "environment, or: pip install -r requirements.txt"
    )


def test_remedy_names_the_file_from_the_project(tmp_path: Path) -> None:
    write_requirements(tmp_path / "src", "no-such-package\n")
    api = project(tmp_path, "src/predictor.py")

    with pytest.raises(ConfigurationError) as caught:
        python_for(api, Environments(tmp_path), install=False, report=no_report)

    assert caught.value.message.startswith("src/requirements.txt: no-such-package: not installed")
    assert caught.value.message.endswith("pip install -r src/requirements.txt")


def test_installed_environment_is_found_without_install(
    projects: Path, environments: Environments, one: Environment
) -> None:
    api = project(projects / "one")

    assert python_for(api, environments, install=False, report=no_report) == one.python
    assert python_for(api, environments, install=True, report=no_report) == one.python


@pytest.mark.long
def test_what_only_pip_can_tell_is_taken_for_installed_until_asked_to_install(
    tmp_path: Path,
) -> None:
    write_requirements(tmp_path, "--no-index\npytest[some-extra]\n")
    environments = Environments(tmp_path / "cache")

    before = python_for(project(tmp_path), environments, install=False, report=no_report)
    made = python_for(project(tmp_path), environments, install=True, report=lambda line: None)
    after = python_for(project(tmp_path), environments, install=False, report=no_report)

    assert before == Path(sys.executable)
    assert made == after
    assert made.is_relative_to(tmp_path / "cache")


@pytest.mark.long
def test_a_wheel_of_the_project_is_known_by_its_name(tmp_path: Path) -> None:
    write_wheel(tmp_path / "wheels", "tinypkg", "1.0")
    write_requirements(tmp_path, "--no-index\n./wheels/tinypkg-1.0-py3-none-any.whl\n")
    environments = Environments(tmp_path / "cache")

    with pytest.raises(ConfigurationError, match="tinypkg: not installed"):
        python_for(project(tmp_path), environments, install=False, report=no_report)
    made = python_for(project(tmp_path), environments, install=True, report=lambda line: None)

    assert python_for(project(tmp_path), environments, install=False, report=no_report) == made

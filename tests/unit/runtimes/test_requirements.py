import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelyard.domain.errors import ConfigurationError
from modelyard.runtimes.requirements import Requirements
from tests.models.wheels import write_installed, write_requirements

# The characters that lines are made of, so that random texts come near to requirements.
LINES = st.text(st.sampled_from("ab1.-_=<>!~,;@[]()#\\/:'\" \t\n\x00\u2028é${}rce"), max_size=60)


def missing_requirements(file: Path, search: list[str] | None = None) -> list[str]:
    return Requirements.of_file(file).missing(search)


def refusal(file: Path) -> str:
    with pytest.raises(ConfigurationError) as caught:
        missing_requirements(file)
    return caught.value.message


@pytest.fixture
def installed(tmp_path: Path) -> list[str]:
    """A search path where `Tiny.Pkg` 1.4 and `pandas` 2.3.1 are installed."""
    folder = tmp_path / "installed"
    write_installed(folder, "Tiny.Pkg", "1.4")
    write_installed(folder, "pandas", "2.3.1")
    return [str(folder)]


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
        "from modelyard.runtimes.requirements import Requirements\n"
        f"print(Requirements.of_file(Path({str(file)!r})).missing([{str(tmp_path)!r}]))"
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

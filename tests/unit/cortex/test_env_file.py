"""The `.env` file of a project: read as bash reads it, without running anything."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.cortex.env_file import read_env_file
from modelyard.domain.errors import ConfigurationError

LINES = st.lists(
    st.sampled_from(
        [
            "A",
            "B",
            "=",
            "1",
            "x y",
            "'",
            '"',
            "\\",
            "$A",
            "${B}",
            "$",
            "#",
            "\n",
            " ",
            ";",
            "export ",
        ]
    ),
    max_size=14,
).map("".join)


def read(folder: Path, text: str, **env: str) -> dict[str, str]:
    (folder / ".env").write_text(text, newline="")
    return read_env_file(folder, env)


def test_project_without_a_file_has_no_variables(tmp_path: Path) -> None:
    assert read_env_file(tmp_path, {}) == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=1", {"A": "1"}),
        ("# comment\n\nA=1 # comment\nB=2#3\n", {"A": "1", "B": "2#3"}),
        ("export A=1\nexport B=2", {"A": "1", "B": "2"}),
        ("A=1 B=2; C=3", {"A": "1", "B": "2", "C": "3"}),
        ("A=1 \\\n ;B=2;#C\nC=3;", {"A": "1", "B": "2", "C": "3"}),
        ("A=", {"A": ""}),
        ("A='two words' B=\"and 'more'\"", {"A": "two words", "B": "and 'more'"}),
        ("A='first\nsecond'", {"A": "first\nsecond"}),
        (r"A=two\ words", {"A": "two words"}),
        ("A=one\\\ntwo", {"A": "onetwo"}),
        (r'A="\$1 \"x\" \n"', {"A": r'$1 "x" \n'}),
        ("A=x\nB=$A/y\nC=${A}z\nD='$A'", {"A": "x", "B": "x/y", "C": "xz", "D": "$A"}),
        ('A="$FROM_CONFIG"', {"A": "from the config"}),
        ("A=1\nA=2", {"A": "2"}),
        ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("A=postgres://u:p@host/db?x=1", {"A": "postgres://u:p@host/db?x=1"}),
        ("A=5$ B=a$,", {"A": "5$", "B": "a$,"}),
    ],
    ids=repr,
)
def test_assignments_are_read_as_bash_reads_them(
    tmp_path: Path, text: str, expected: dict[str, str]
) -> None:
    assert read(tmp_path, text, FROM_CONFIG="from the config") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A=1\necho hello\n", "line 2: found 'echo hello'"),
        (";A=1", "line 1: found ';A=1'"),
        ("A=1;;B=2", "line 1: found ';B=2'"),
        ("A=1;\n;B=2", "line 2: found ';B=2'"),
        ("A=two words\n", "line 1: found 'words'"),
        ("A=$(date)", "line 1: found '\\('"),
        ("A=`date`", "line 1: found '`', which only a shell can expand"),
        ('A="${B:-1}"', "which only a shell can expand"),
        ("\nA=$HOME", r"line 2: \$HOME is not set above, nor in predictor.env"),
        ("A='open", 'line 1: found "\'" in a value'),
        ("A=1 | cat", "line 1: found '| cat'"),
        ("A=(1 2)", "line 1: found '\\(' in a value"),
        ("1A=1", "line 1: found '1A=1'"),
        ("A=\0", "a NUL character"),
    ],
    ids=repr,
)
def test_what_only_a_shell_can_run_is_refused_with_its_line(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf"^\.env: .*{message}"):
        read(tmp_path, text)


def test_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"A=\xff")

    with pytest.raises(ConfigurationError, match=r"\.env: cannot be read as UTF-8 text"):
        read_env_file(tmp_path, {})


@pytest.mark.skipif(shutil.which("bash") is None, reason="compares with bash")
@given(text=LINES)
def test_what_is_accepted_means_the_same_in_bash(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    folder = tmp_path_factory.getbasetemp()
    try:
        variables = read(folder, text, A="a", B="b")
    except ConfigurationError:
        return

    command = ["bash", "--norc", "-c", "set -a; source ./.env; exec env -0"]
    environment = {"A": "a", "B": "b"}
    printed = subprocess.check_output(command, cwd=folder, env=environment, text=True)
    sourced = dict(pair.split("=", 1) for pair in printed.split("\0") if pair)

    assert {name: sourced[name] for name in variables} == variables

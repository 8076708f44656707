"""What the README and the page about scripts show is run, and prints what they say."""

import re
import subprocess

import pytest

from tests.docs import pages
from tests.docs.running import Reader, is_alike, run_example
from tests.serving import Server

README = pages.text("README.md")
CALLS = [(words, shown) for words, shown in pages.commands(README) if words[0] != "make"]
CITIES = sorted({city for city in re.findall(r"(\w+)\.tar\.gz", README) if "_" in city})


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    folder = tmp_path_factory.mktemp("readme")
    trained = run_example(
        "home-value/train.py", "--out", str(folder / "models"), "--cities", *CITIES
    )
    assert trained.returncode == 0, trained.stderr
    with Server(folder / "models", "--endpoint", "home-value") as server:
        yield Reader(folder / "reader", server.url)


def test_python_snippet_prints_what_its_comment_says(reader):
    (snippet,) = pages.blocks(README, "python")

    assert is_alike(reader.run_python(snippet), snippet.rpartition("#")[2])


def test_commands_print_what_is_shown(reader):
    printed = [(words, reader.run(words), shown) for words, shown in CALLS]

    assert [one for one in printed if one[2] and not is_alike(one[1], one[2])] == []


def test_readme_shows_the_aws_command_line_and_every_verb_of_calling():
    programs = {words[0] for words, _ in CALLS}
    verbs = {words[1] for words, _ in CALLS if words[0] == "modelyard"}

    assert programs == {"aws", "cat", "modelyard"}
    assert verbs == {"invoke", "warm", "unload", "models"}


@pytest.mark.parametrize(
    ("target", "recipe"),
    [
        ("demo", "examples/home-value/demo.py"),
        ("serve", "modelyard serve examples/home-value/models --endpoint home-value"),
    ],
)
def test_make_target_of_the_readme_does_what_it_says(target, recipe):
    planned = subprocess.check_output(["make", "--dry-run", target], cwd=pages.ROOT, text=True)

    assert f"$ make {target}" in README
    assert recipe in planned


def test_script_of_the_page_about_scripts_answers_what_is_shown(tmp_path):
    page = pages.text("docs/predictors.md")
    (script,) = pages.blocks(page, "python")
    (_, serve), (call, shown) = ((words, shown) for words, shown in pages.commands(page))
    code = tmp_path / "models" / "triple" / "code"
    code.mkdir(parents=True)
    (code / "inference.py").write_text(script)

    with Server(tmp_path / "models", "--allow-code", "--endpoint", "mine") as server:
        printed = Reader(tmp_path / "reader", server.url).run(call)

    assert serve == ""
    assert printed == shown

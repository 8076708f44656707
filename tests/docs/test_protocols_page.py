"""What the page about other protocols shows is run, and prints what it says."""

import re

import pytest

from tests.clients.environments import client_python, needs
from tests.docs import pages
from tests.docs.running import Reader, is_alike, run_example
from tests.serving import Server

PAGE = pages.text("docs/protocols.md")


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    folder = tmp_path_factory.mktemp("protocols") / "models"
    cities = sorted(set(re.findall(r"(\w+_\w\w)\.tar\.gz", PAGE)))
    trained = run_example("home-value/train.py", "--out", str(folder), "--cities", *cities)
    assert trained.returncode == 0, trained.stderr
    with Server(folder, "--endpoint", "home-value") as server:
        yield Reader(tmp_path_factory.mktemp("reader") / "at-home", server.url)


def test_commands_print_what_is_shown(reader):
    printed = [(reader.run(words), shown) for words, shown in pages.commands(PAGE)]

    assert printed
    assert [one for one in printed if not is_alike(*one)] == []


@pytest.mark.long
@needs("tritonclient")
def test_triton_client_prints_what_its_comment_says(reader):
    (snippet,) = pages.blocks(PAGE, "python")

    printed = reader.run_python(snippet, str(client_python("tritonclient")))

    assert is_alike(printed, snippet.rpartition("#")[2])

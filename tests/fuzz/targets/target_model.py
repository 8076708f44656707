"""Names of models: one spelling each, and no way out of a folder, a prefix or an access rule."""

import posixpath
from collections.abc import Iterator
from pathlib import PurePosixPath, PureWindowsPath

from modelyard.domain.globs import matches
from modelyard.sagemaker.target_model import parse_target_model

ROOT = "/srv/models"


def target(data: bytes) -> None:
    name = parse_target_model(data.decode("latin-1"))

    assert parse_target_model(name) == name == parse_target_model(f"/{name}")
    assert name.isascii()
    assert name.isprintable()
    assert posixpath.normpath(f"{ROOT}/{name}") == f"{ROOT}/{name}"
    assert str(PurePosixPath(name)) == name
    assert ".." not in PureWindowsPath(name).parts
    assert matches("company_a/*", name) == name.startswith("company_a/")
    assert matches(name.replace("*", "?"), name)
    middle = len(name) // 2
    assert matches(f"{name[:middle]}*{name[middle:]}".replace("?", "*"), name)


def seeds() -> Iterator[bytes]:
    yield b"Houston_TX.tar.gz"
    yield b"/company_a/v1/model.tar.gz"
    yield b"company_a/../company_b/x"
    yield b" ./a//b\\c\x00 . "

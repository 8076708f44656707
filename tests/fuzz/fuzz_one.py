"""Fuzz one target with coverage: `python -m tests.fuzz.fuzz_one TARGET [libFuzzer's options]`."""

import contextlib
import importlib
import sys

import atheris

TRACED = ["modelyard", "tarfile", "zipfile", "yaml", "json", "starlette", "tests.fuzz.targets"]


def main(name: str, options: list[str]) -> None:
    with atheris.instrument_imports(include=TRACED):
        module = importlib.import_module(f"tests.fuzz.targets.{name}")
        errors = importlib.import_module("modelyard.domain.errors")

    def run(data: bytes) -> None:
        with contextlib.suppress(errors.ModelyardError):  # the typed answer to rubbish
            module.target(data)

    atheris.Setup([sys.argv[0], *options], run)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])

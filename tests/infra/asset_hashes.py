"""The hashes of a tree's assets after each of some changes to it.

`python asset_hashes.py CONFIG...` reads lists of paths, one a line, and prints for each the names
and hashes of all assets once more text is at the end of those files; then they are as they were.
Run it with the tree as the working folder and on the path: it looks at what is imported.
"""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "20")

from aws_cdk import App, AssetStaging, Stack
from aws_cdk import aws_lambda as lambda_
from aws_cdk.aws_ecr_assets import Platform

from infra import assets
from infra.settings import load_settings
from modelyard.aws.function_table import FunctionTable

MORE = "\n# changed\n"


def hashes(configs: list[Path]) -> dict[str, str]:
    """Return the hash of every kind of asset that there is, by its name."""
    AssetStaging.clear_asset_hash_cache()
    with tempfile.TemporaryDirectory() as folder:
        app = App(outdir=folder)
        _stack_of_all(Stack(app, "all"), configs)
        app.synth()
        found = json.loads((Path(folder) / "all.assets.json").read_text())
    every = found["files"] | found["dockerImages"]
    named = {one["displayName"].partition("/")[0]: digest for digest, one in every.items()}
    return {name: digest for name, digest in named.items() if name != "all Template"}


def _stack_of_all(stack: Stack, configs: list[Path]) -> None:
    loaded = [load_settings(config, {}) for config in configs]
    endpoints = [models.functions for settings in loaded for models in settings.endpoints]
    for name in ("router", "warmer"):
        runtime, code = assets.PYTHON, assets.function_code(name)
        lambda_.Function(stack, name, runtime=runtime, handler="handler.handler", code=code)
    layers = {
        "package": assets.package_code(),
        "dependencies": assets.dependencies_code("arm64"),
        "manifest": assets.function_table_code(FunctionTable(tuple(endpoints))),
    }
    for name, code in layers.items():
        lambda_.LayerVersion(stack, name, code=code)
    for settings in loaded:
        [models, *_] = settings.endpoints
        code = assets.image_code(models, Platform.LINUX_ARM64)
        lambda_.DockerImageFunction(stack, f"image of {settings.name}", code=code)


@contextmanager
def changed(path: Path) -> Iterator[None]:
    """Have more at the end of a file, or a new file, for a while."""
    before = path.read_bytes() if path.exists() else None
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((before or b"") + MORE.encode())
    yield
    if before is None:
        path.unlink()
    else:
        path.write_bytes(before)


def main() -> None:
    """Answer line for line."""
    assert Path(assets.__file__).is_relative_to(Path.cwd()), "of another tree"
    configs = [Path(name) for name in sys.argv[1:]]
    for line in sys.stdin:
        with ExitStack() as changes:
            for path in json.loads(line):
                changes.enter_context(changed(Path(path)))
            sys.stdout.write(json.dumps(hashes(configs)) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()

"""`make page`: opens the page with 10,000 models in Chromium, uses it, and takes pictures of it.

Debian's package `chromium` is enough; CHROMIUM names another program. The pictures are in
`build/page`. It exits with 1 if a step does not give the expected result, if the console of the
browser has an error, or if axe finds a fault that a reader of the page would notice.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from modelyard.domain.keys import issue
from modelyard.local.file_keys import FileKeys
from tests.functional import artifacts
from tests.serving import Server

MODELS = 10_000
BUILD = Path("build/page")


def main() -> int:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        print("chromium is missing: apt-get install chromium, or set CHROMIUM")  # noqa: T201
        return 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "shop"
        folder.mkdir()
        model = artifacts.booster()
        for number in range(MODELS):
            (folder / f"model-{number:05}.ubj").write_bytes(model)
        key, stored = issue("ada", 0.0)
        keys = Path(name) / "keys"
        keys.mkdir()
        FileKeys(keys).add(stored)
        with Server(folder) as server, Server(folder, "--keys-folder", str(keys)) as locked:
            python = BUILD / "venv" / "bin" / "python"
            script = Path(__file__).with_name("browse.py")
            command = [python, script, server.url, locked.url, key.text, chromium, BUILD]
            return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

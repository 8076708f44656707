"""`make image-test`: builds the image of inference functions and runs it as Lambda would.

Needs Linux, root and a few packages; the network only while `materials` are gathered.
"""

import os
import shlex
import shutil
import subprocess
import sys
import time
from functools import partial

from infra.settings import load_settings
from tests.image import materials
from tests.image.report import say, timed

PROGRAMS = {
    "apt-get": "apt",
    "debootstrap": "debootstrap",
    "dockerd": "docker.io",
    "ip": "iproute2",
    "tar": "tar",
    "unshare": "util-linux",
}
ALONE = ("--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child")
"""Namespaces of its own: nothing reaches out, and nothing that was started outlives it."""


def main() -> int:
    """Gather, then build and run in a world apart; returns the exit code."""
    if missing := missing_programs():
        say(missing)
        return 2
    began = time.perf_counter()
    root = timed("base", materials.base_root)
    emulator = timed("AWS's emulator", materials.witness)
    for models in load_settings(materials.CONFIG, {}).endpoints:
        what = f"{models.functions.endpoint.name}: wheels and context"
        timed(what, partial(materials.context_of, models))
    run = shlex.join([sys.executable, "-m", "tests.image.isolated", str(root), str(emulator)])
    alone = ["unshare", *ALONE, "sh", "-c", f"ip link set lo up && exec {run}"]
    code = subprocess.call(alone)
    outcome = "failed" if code else "passed"
    say(f"image-test {outcome} after {time.perf_counter() - began:.0f} s")
    return code


def missing_programs() -> str:
    """Return what to do before this can run; empty if nothing is."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "image-test: needs Linux and root, for a container engine of its own"
    packages = {package for name, package in PROGRAMS.items() if shutil.which(name) is None}
    if packages:
        return "image-test: first apt-get install --no-install-recommends " + " ".join(packages)
    return ""


if __name__ == "__main__":
    sys.exit(main())

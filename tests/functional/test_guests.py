"""What a process has once belongs to one artifact with code, whatever its neighbours do with it.

What such code may do to its own process is in `test_hostile_models.py` and `test_crash.py`.
"""

import textwrap
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from tests.functional import artifacts
from tests.functional.served import DirectoryModels, Served
from tests.models import archives
from tests.serving import Server, body, eventually

pytestmark = pytest.mark.local_door("counts the processes of one worker; the code is the same")

FUNCTIONS = """
def model_fn(model_dir):
    return None

def transform_fn(model, data, content_type, accept):
    return answer(), "text/plain"
"""
LATE_IMPORTS = {
    "in a helper": ("import helper\ndef answer(): return helper.name()", "import who"),
    "in a class": (
        "import helper\ndef answer(): return helper.name()",
        "import importlib\n    who = importlib.import_module('who')",
    ),
    "in a thread": (
        "import helper, threading\n"
        "def answer():\n"
        "    found = []\n"
        "    thread = threading.Thread(target=lambda: found.append(helper.name()))\n"
        "    thread.start(); thread.join()\n"
        "    return found[0]",
        "import who",
    ),
    "through sys.path": (
        "import os, sys\n"
        "sys.path.insert(0, os.path.join(os.path.dirname(__file__), 'src'))\n"
        "import who\ndef answer(): return who.NAME",
        "pass",
    ),
    "out of lib": ("def answer():\n    from package import NAME\n    return NAME", "pass"),
}


def artifact(name: str, source: str, late: str = "pass") -> bytes:
    """Return a script whose modules of all kinds know the artifact's name."""
    files = {
        "code/inference.py": textwrap.dedent(source) + FUNCTIONS,
        "code/helper.py": f"def name():\n    {late}\n    return who.NAME",
        "code/who.py": f"NAME = {name!r}",
        "code/src/who.py": f"NAME = {name!r}",
        "code/lib/package/__init__.py": f"NAME = {name!r}",
    }
    return archives.tar_gz_of({path: text.encode() for path, text in files.items()})


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    repository = DirectoryModels(tmp_path_factory.mktemp("guests") / "models")
    environment = {
        "AWS_SECRET_ACCESS_KEY": "undisclosed",
        "AWS_SESSION_TOKEN": "undisclosed",
        "MODELYARD_KEY": "undisclosed",
        "THRESHOLD": "0.5",
    }
    options = ("--endpoint", "code", "--allow-code", "--workers", "1", "--revalidate", "0s")
    with Server(repository.target, *options, environment=environment) as server:
        yield Served(server, repository)


def said(served: Served, target: str, data: bytes = b"1") -> str:
    return (
        served.sdk.invoke_endpoint(
            EndpointName="code", TargetModel=target, ContentType="text/plain", Body=data
        )["Body"]
        .read()
        .decode()
    )


@pytest.mark.parametrize(("source", "late"), LATE_IMPORTS.values(), ids=LATE_IMPORTS)
def test_modules_of_the_same_names_answer_for_their_own_artifact(
    served: Served, source: str, late: str
) -> None:
    names = {served.publish(artifact(name, source, late)): name for name in "ABCD"}
    asked = [target for _ in range(40) for target in names]

    with ThreadPoolExecutor(8) as pool:
        answers = Counter(pool.map(lambda target: (target, said(served, target)), asked))

    assert answers == dict.fromkeys(names.items(), 40)


def test_update_brings_all_of_its_modules(served: Served) -> None:
    source, late = LATE_IMPORTS["through sys.path"]
    served.repository.put("updated.tar.gz", artifact("old", source, late))
    assert said(served, "updated.tar.gz") == "old"

    served.repository.put("updated.tar.gz", artifact("new", source, late))

    eventually(lambda: said(served, "updated.tar.gz") == "new")


OWN_THINGS = {
    "environment": ("os.environ['X'] = name", "os.environ['X']"),
    "working directory": (
        "os.makedirs(f'/tmp/guest-{name}', exist_ok=True); os.chdir(f'/tmp/guest-{name}')",
        "os.path.basename(os.getcwd())[-1]",
    ),
    "module of the library": ("json.mine = name", "json.mine"),
    "signal handler": (
        "signal.signal(signal.SIGUSR1, lambda *_: got.append(name))",
        "(os.kill(os.getpid(), signal.SIGUSR1), time.sleep(0), got[-1])[-1]",
    ),
    "random numbers": (
        "random.seed(ord(name))",
        "('A' if random.Random(65).random() == first else 'B')",
    ),
    "locale": (
        "locale.setlocale(locale.LC_NUMERIC, 'C' if name == 'A' else 'C.UTF-8')",
        "('A' if locale.setlocale(locale.LC_NUMERIC) == 'C' else 'B')",
    ),
    "recursion limit": (
        "sys.setrecursionlimit(1000 + ord(name))",
        "chr(sys.getrecursionlimit() - 1000)",
    ),
    "warnings": (
        "warnings.simplefilter('ignore' if name == 'A' else 'always')",
        "('A' if warnings.filters[0][0] == 'ignore' else 'B')",
    ),
    "logging": (
        "logging.getLogger().setLevel(ord(name))",
        "chr(logging.getLogger().level)",
    ),
    "import hooks": (
        "sys.meta_path.append(name)",
        "[hook for hook in sys.meta_path if isinstance(hook, str)][0]",
    ),
    "umask": (
        "os.umask(0o70 if name == 'A' else 0o7)",
        "('A' if open('/proc/self/status').read().count('Umask:\\t0070') else 'B')",
    ),
}
OWN = """
    import json, locale, logging, os, random, signal, sys, time, warnings

    got, name = [], {name!r}
    {change}
    first = random.random()

    def model_fn(model_dir): ...

    def transform_fn(model, data, content_type, accept):
        return {read}, "text/plain"
"""


@pytest.mark.parametrize(("change", "read"), OWN_THINGS.values(), ids=OWN_THINGS)
def test_what_a_process_has_once_is_the_artifacts_own(
    served: Served, change: str, read: str
) -> None:
    targets = [
        served.publish(artifacts.script(OWN.format(name=name, change=change, read=read)))
        for name in "AB"
    ]
    for target in targets:
        served.invoke(target, b"1", "code")

    assert [said(served, target) for target in targets] == ["A", "B"]


LOOKED_UP = {
    "pickle": (
        "import pickle\nclass Own: pass\n"
        "def answer(): return type(pickle.loads(pickle.dumps(Own()))).__name__"
    ),
    "type hints": (
        "from __future__ import annotations\nimport typing\nclass Item: pass\n"
        "class Own:\n    item: Item\n"
        "def answer(): return 'Own' if typing.get_type_hints(Own) else ''"
    ),
    "dataclass": (
        "from __future__ import annotations\nimport dataclasses\n"
        "@dataclasses.dataclass\nclass Own:\n    item: 'int'\n"
        "def answer(): return Own(1).__class__.__name__"
    ),
    "pool": (
        "import multiprocessing, helper\ndef answer():\n"
        "    with multiprocessing.get_context('fork').Pool(2) as pool:\n"
        "        return {'ab': 'Own'}[''.join(pool.map(helper.same, 'ab'))]"
    ),
    "spawned process": (
        "import multiprocessing, helper\ndef answer():\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        return {'ab': 'Own'}[''.join(pool.map(helper.same, 'ab'))]"
    ),
    "asyncio": (
        "import asyncio\nasync def own(): return 'Own'\ndef answer(): return asyncio.run(own())"
    ),
}


@pytest.mark.parametrize("source", LOOKED_UP.values(), ids=LOOKED_UP)
def test_what_looks_names_up_in_modules_finds_those_of_the_script(
    served: Served, source: str
) -> None:
    files = {
        "code/inference.py": source + FUNCTIONS,
        "code/helper.py": "def same(value): return value",
    }
    packed = archives.tar_gz_of({path: text.encode() for path, text in files.items()})

    assert said(served, served.publish(packed)) == "Own"


def test_scripts_see_the_servers_settings_and_not_its_secrets(served: Served) -> None:
    source = """
        import os

        def model_fn(model_dir): ...

        def transform_fn(model, data, content_type, accept):
            told = [os.environ.get("THRESHOLD"), "undisclosed" in str(os.environ)]
            return str(told), "text/plain"
    """
    assert said(served, served.publish(artifacts.script(source))) == "['0.5', False]"


def test_unloading_ends_the_process_and_an_idle_crash_costs_no_call(served: Served) -> None:
    source = """
        import os

        def model_fn(model_dir): ...

        def transform_fn(model, data, content_type, accept):
            return str(os.getpid()), "text/plain"
    """
    target = served.publish(artifacts.script(source))
    first = int(said(served, target))
    psutil.Process(first).kill()
    eventually(lambda: not psutil.pid_exists(first))

    second = int(said(served, target))
    served.server.http.delete(f"/endpoints/code/models/{target}").raise_for_status()

    assert second != first
    assert not psutil.pid_exists(second)


def test_prints_are_logged_under_the_models_name(served: Served) -> None:
    source = """
        import os

        def model_fn(model_dir): ...

        def transform_fn(model, data, content_type, accept):
            print("from Python")
            os.system("echo from a child")
            return "1"
    """
    target = served.publish(artifacts.script(source))
    assert body(served.invoke(target, b"1", "code")) == 1

    for text in ("from Python", "from a child"):
        eventually(lambda text=text: f"{text} model=code/{target}" in served.server.log)


TAKES_ITS_TIME = """
import json, os, time

def model_fn(model_dir):
    return None

def transform_fn(model, data, content_type, accept):
    word, _, seconds = data.decode().partition(" ")
    if word == "exit":
        os._exit(1)
    time.sleep(float(seconds or 0))
    return f"{word} in {os.getpid()}", "text/plain"
"""
"""Its calls are fast until one asks for something else."""


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that asks the repository seldom, so warm calls are answered at once."""
    repository = DirectoryModels(tmp_path_factory.mktemp("warm") / "models")
    options = ("--endpoint", "code", "--allow-code", "--workers", "2", "--revalidate", "1h")
    with Server(repository.target, *options) as server:
        yield Served(server, repository)


def script_of(warm: Served) -> str:
    return warm.publish(archives.tar_gz_of({"code/inference.py": TAKES_ITS_TIME.encode()}))


def test_a_call_that_is_slower_than_those_before_gets_its_own_answer(warm: Served) -> None:
    target = script_of(warm)
    for number in range(8):
        assert said(warm, target, b"first%d" % number).startswith(f"first{number} in")

    slow = said(warm, target, b"slow 0.05")

    assert slow.startswith("slow in")
    assert said(warm, target, b"next").startswith("next in")


def test_fast_and_slow_calls_at_once_get_their_own_answers(warm: Served) -> None:
    targets = [script_of(warm) for _ in range(3)]

    def call(number: int) -> bool:
        word = f"w{number}"
        wait = " 0.01" if number % 17 == 0 else ""
        answer = said(warm, targets[number % 3], f"{word}{wait}".encode())
        return answer.startswith(f"{word} in")

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(call, range(600)))


def test_a_crash_after_fast_calls_fails_that_call_only(warm: Served) -> None:
    target, other = script_of(warm), script_of(warm)
    for _ in range(8):
        said(warm, target)
        said(warm, other)

    with pytest.raises(warm.sdk.exceptions.ModelError):
        said(warm, target, b"exit")

    assert said(warm, target, b"again").startswith("again in")
    assert said(warm, other, b"again").startswith("again in")

"""Build and run the images where the loopback is the only network; `__main__` starts this."""

import logging
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import boto3
from moto.server import ThreadedMotoServer

from infra.image_context import DOCKERFILE, build_arguments
from infra.settings import PlannedEndpoint, load_settings
from tests.image import calls, limits
from tests.image.engine import USER, Engine, started
from tests.image.functions import BuiltFunction
from tests.image.materials import BUILD, CONFIG
from tests.image.models import MODELS
from tests.image.report import say, say_layers, timed

BASE = "modelyard/base"


def main(root: Path, emulator: Path) -> None:
    """Run everything; the first thing that is not as promised ends it."""
    run = BUILD / "run"
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir()
    with ExitStack() as stack:
        engine = stack.enter_context(started(BUILD / "docker"))
        timed("import of the base", lambda: engine.import_base(root, BASE))
        aws = stack.enter_context(_object_store(run))
        for models in load_settings(CONFIG, {}).endpoints:
            function = BuiltFunction(engine, _built(engine, models), models, _cache(run), aws)
            for finding in limits.findings(function):
                say(f"{function.name}: {finding}")
            calls.predict(function, emulator, run)


def _built(engine: Engine, models: PlannedEndpoint) -> str:
    name = models.functions.endpoint.name
    context, image = BUILD / "contexts" / name, f"modelyard/{name}"
    told = build_arguments(models) | {"BASE_IMAGE": BASE}
    timed(f"{name}: build", lambda: engine.build(context, DOCKERFILE, image, told))
    say_layers(name, engine.layers(image))
    return image


def _cache(run: Path) -> Path:
    """Return a folder in the place of the EFS file system; the functions' user owns it."""
    cache = run / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    cache.mkdir()
    shutil.chown(cache, *map(int, USER.split(":")))
    return cache


@contextmanager
def _object_store(run: Path) -> Iterator[dict[str, str]]:
    """Serve S3 with the models in it; yields the variables that lead functions there."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it tells of every request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys, region = ("none", "none"), "us-east-1"
    client = boto3.session.Session(*keys, region_name=region).client(
        "s3", endpoint_url=f"http://{host}:{port}"
    )
    client.create_bucket(Bucket="image-test")
    for endpoint, model in MODELS.items():
        client.upload_file(str(model.make(run)), "image-test", f"{endpoint}/{model.target}")
    try:
        yield {
            "AWS_ACCESS_KEY_ID": keys[0],
            "AWS_SECRET_ACCESS_KEY": keys[1],
            "AWS_ENDPOINT_URL_S3": f"http://{host}:{port}",
            "AWS_REGION": region,
        }
    finally:
        server.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

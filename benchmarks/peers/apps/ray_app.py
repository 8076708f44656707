"""A Ray Serve deployment with the hand-written model code."""

import os
import signal
from pathlib import Path

import hand_written
import ray
from ray import serve
from ray.serve.schema import LoggingConfig
from starlette.requests import Request

FOLDER, CAPACITY = Path(os.environ["MODELS"]), int(os.environ["CAPACITY"])


@serve.deployment(num_replicas=1, ray_actor_options={"num_cpus": 1}, max_ongoing_requests=100)
class Models:
    @serve.multiplexed(max_num_models_per_replica=CAPACITY)
    async def find(self, name: str) -> hand_written.Predict:
        return hand_written.load(FOLDER / name)

    async def __call__(self, request: Request) -> str:
        predict = await self.find(serve.get_multiplexed_model_id())
        return predict(await request.body())


if __name__ == "__main__":
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        _node_ip_address="127.0.0.1",
        _temp_dir=os.environ["FOLDER"],
    )
    serve.start(
        http_options={"host": "127.0.0.1", "port": int(os.environ["PORT"])},
        logging_config=LoggingConfig(enable_access_log=False, log_level="ERROR"),
    )
    serve.run(Models.bind())
    signal.pause()

"""What a script measures with `context.metrics`."""

import contextlib

import pytest

from modelyard.domain.errors import PredictionError
from modelyard.domain.values import Payload
from modelyard.runtimes import registry
from modelyard.runtimes.scripts.metrics import ScriptMetrics
from tests.models.script_models import script


def loaded(folder):
    return registry.load(registry.plan_load(folder, allow_code=True))


@pytest.mark.parametrize("end", ["return '1'", "raise ValueError"])
def test_metrics_are_written_to_the_log_when_the_call_ends(tmp_path, capsys, end):
    source = f"""
        def model_fn(model_dir): ...
        def transform_fn(model, data, kind, accept, context):
            metrics = context.metrics
            metrics.add_counter("Rows", 2)
            metrics.add_counter("Rows", 3, idx=0)
            metrics.add_time("Lookup", 12.5, None, "ms", ["Table:prices"])
            metrics.add_size("Features", 4)
            metrics.add_percent("Known", 50)
            metrics.add_error("Miss", "city")
            {end}
    """

    with contextlib.suppress(PredictionError):
        loaded(script(tmp_path / "house", source)).predict(Payload(b"1"))

    heads = [line.partition("|#hostname:")[0] for line in capsys.readouterr().out.splitlines()]
    of_model = "ModelName:house,Level:Model"
    assert heads == [
        f"[METRICS]Rows.Count:5|#{of_model}",
        f"[METRICS]Lookup.Milliseconds:12.5|#Table:prices,{of_model}",
        f"[METRICS]Features.Megabytes:4|#{of_model}",
        f"[METRICS]Known.Percent:50|#{of_model}",
        f"[METRICS]Miss.:city|#{of_model}",
    ]


def test_metric_of_another_unit_is_refused():
    with pytest.raises(ValueError, match="the unit 'GB' of Lookup; allowed: ms, s"):
        ScriptMetrics("house", "1").add_time("Lookup", 1, unit="GB")

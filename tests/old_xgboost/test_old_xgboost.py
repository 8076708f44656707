"""Models of old versions of XGBoost answer what these versions predict: `make old-xgboost`."""

import re
from collections import Counter

import pytest

from tests.old_xgboost.comparing import Compared, compare
from tests.old_xgboost.environments import FOLDER, MODELS, VERSIONS

# The table in docs/sagemaker.md: versions, case, formats, outcome.
KNOWN = [
    (r"1\.[02]\..*", ".*", "JSON", r"off by up to [1-9]e-(0[5-9]|1\d)"),
    (r"1\.3\..*", ".*-dart", "JSON|pickle", r"off by up to [1-9]e-(0[5-9]|1\d)"),
    (r"1\..*", "no_rounds", "JSON|UBJSON|pickle", "refused: .*"),
    (r"[12]\..*", "base_score_3e-07_binary_logistic", "JSON|UBJSON|pickle", "off by up to .*"),
    (r"1\.0\..*", "base_score_.*", "JSON", "off by up to .*"),
    # XGBoost 1.0 counts pruned nodes wrong in JSON, and writes six digits of a base score.
    (r"1\.0\..*", "pruned|single_leaves|base_score_3e-07_.*", "JSON", "refused: .*"),
]


def is_known(found: Compared) -> bool:
    facts = (found.version, found.case, found.format, found.outcome)
    return any(
        all(re.fullmatch(pattern, fact) for pattern, fact in zip(row, facts, strict=True))
        for row in KNOWN
    )


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("version", VERSIONS)
def test_models_of_a_version_answer_what_it_predicts(version: str) -> None:
    folder = FOLDER / version / MODELS
    if not folder.joinpath("rows.json").is_file():
        pytest.skip("make old-xgboost makes the models")

    outcomes = list(compare(version, folder))

    assert [found for found in outcomes if found.outcome != "equal" and not is_known(found)] == []
    assert Counter(found.outcome for found in outcomes)["equal"] > len(outcomes) / 2

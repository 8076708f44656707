"""Medians and ratios: what `results.json` says."""

from benchmarks.results import Results


def rows_of(values):
    results = Results()
    for (work, system, metric), all_values in values.items():
        for value in all_values:
            results.note_of(system)(work, metric, value)
    return {(row["work"], row["system"], row["metric"]): row for row in results.rows()}


def test_row_has_the_median_and_the_extremes():
    rows = rows_of({("warm", "modelyard", "rps"): [3.0, 10.0, 2.0]})

    row = rows["warm", "modelyard", "rps"]
    assert (row["median"], row["min"], row["max"]) == (3.0, 2.0, 10.0)


def test_ratios_compare_the_same_work_and_metric():
    rows = rows_of(
        {
            ("warm", "loop", "rps"): [1000.0],
            ("warm", "fastapi", "rps"): [100.0],
            ("warm", "modelyard", "rps"): [250.0],
            ("other", "fastapi", "rps"): [1.0],
        }
    )

    row = rows["warm", "modelyard", "rps"]
    assert (row["ratio_to_loop"], row["ratio_to_fastapi"]) == (0.25, 2.5)
    assert rows["warm", "fastapi", "rps"]["ratio_to_fastapi"] == 1.0


def test_ratio_to_what_was_not_measured_or_is_zero_is_none():
    rows = rows_of({("warm", "fastapi", "errors"): [0.0], ("warm", "modelyard", "errors"): [1.0]})

    row = rows["warm", "modelyard", "errors"]
    assert (row["ratio_to_loop"], row["ratio_to_fastapi"]) == (None, None)


def test_row_has_exactly_the_published_keys():
    (row,) = rows_of({("warm", "modelyard", "rps"): [1.0]}).values()

    assert list(row) == [
        "work",
        "system",
        "metric",
        "median",
        "min",
        "max",
        "ratio_to_loop",
        "ratio_to_fastapi",
    ]

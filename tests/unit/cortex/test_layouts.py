"""The layouts of model folders: Cortex's own table, and what is served while folders change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.cortex.layouts import check_layout, is_version, newest_first, versions_in
from modelyard.cortex.project import PredictorType

PYTHON, TENSORFLOW, ONNX = PredictorType.PYTHON, PredictorType.TENSORFLOW, PredictorType.ONNX
UNVERSIONED = {"1": ""}
SHARD = "variables/variables.data-00000-of-00001"
TREE = ("saved_model.pb", "variables/variables.index", SHARD)


def tree(folder: str = "", without: str = "") -> list[str]:
    return [folder + path for path in TREE if path != without]


DEPLOYED = {
    "python files": (PYTHON, ["a.pkl", "sub/b"], UNVERSIONED),
    "python versions": (PYTHON, ["1/a", "2/a"], {"1": "1", "2": "2"}),
    "python v2": (PYTHON, ["v2/a"], UNVERSIONED),
    "python latest": (PYTHON, ["latest/a"], UNVERSIONED),
    "python 1.0": (PYTHON, ["1.0/a"], UNVERSIONED),
    "python -1": (PYTHON, ["-1/a"], UNVERSIONED),
    "python 01 and 1": (PYTHON, ["01/a", "1/a"], {"01": "01", "1": "1"}),
    "python number beyond int64": (PYTHON, [f"{2**63}/a"], UNVERSIONED),
    "python file called 1": (PYTHON, ["1"], UNVERSIONED),
    "onnx file": (ONNX, ["m.onnx"], UNVERSIONED),
    "onnx versions": (ONNX, ["1/a.onnx", "2/b.onnx"], {"1": "1", "2": "2"}),
    "tensorflow tree": (TENSORFLOW, tree(), UNVERSIONED),
    "tensorflow assets": (TENSORFLOW, [*tree(), "assets/words.txt"], UNVERSIONED),
    "tensorflow extra file": (TENSORFLOW, [*tree(), "keras_metadata.pb"], UNVERSIONED),
    "tensorflow second shard": (
        TENSORFLOW,
        [*tree(), "variables/variables.data-00001-of-00002"],
        UNVERSIONED,
    ),
    "tensorflow versions": (TENSORFLOW, [*tree("1/"), *tree("22/")], {"1": "1", "22": "22"}),
}

REJECTED = {
    "python nothing": (PYTHON, [], {}, "no files"),
    "python 1 and file": (PYTHON, ["1/a", "b"], {"1": "1"}, "mixed with something else: b"),
    "python 1 and v2": (PYTHON, ["1/a", "v2/a"], {"1": "1"}, "something else: v2"),
    "python 1 and latest": (PYTHON, ["1/a", "latest/a"], {"1": "1"}, "something else: latest"),
    "python 1 and 1.0": (PYTHON, ["1/a", "1.0/a"], {"1": "1"}, "something else: 1.0"),
    "onnx nothing": (ONNX, [], {}, "exactly one file, not 0"),
    "onnx two": (ONNX, ["a.onnx", "b.onnx"], {}, "exactly one file, not 2"),
    "onnx labels": (ONNX, ["m.onnx", "labels.txt"], {}, "exactly one file, not 2"),
    "onnx weights": (ONNX, ["m.onnx", "m.onnx.data"], {}, "exactly one file, not 2"),
    "onnx other suffix": (ONNX, ["m.pb"], {}, "name ends in .onnx"),
    "onnx capitals": (ONNX, ["M.ONNX"], {}, "name ends in .onnx"),
    "onnx sub-folder": (ONNX, ["sub/m.onnx"], {}, "name ends in .onnx"),
    "onnx version's sub-folder": (ONNX, ["1/sub/m.onnx"], {}, "version 1: "),
    "onnx 1 and labels": (ONNX, ["1/a.onnx", "labels.txt"], {"1": "1"}, "else: labels.txt"),
    "onnx two in 3": (ONNX, ["1/a.onnx", "3/a.onnx", "3/b.onnx"], {"1": "1"}, "version 3: "),
    "tensorflow nothing": (TENSORFLOW, [], {}, "without saved_model.pb, variables/"),
    "tensorflow 1 and readme": (TENSORFLOW, [*tree("1/"), "README"], {"1": "1"}, "else: README"),
    "tensorflow 1 and tree": (
        TENSORFLOW,
        [*tree("1/"), *tree()],
        {"1": "1"},
        "something else: saved_model.pb, variables",
    ),
    "tensorflow frozen": (TENSORFLOW, ["saved_model.pb"], {}, "without variables/variables.index"),
    "tensorflow no shard": (TENSORFLOW, tree(without=SHARD), {}, "variables.data-00000-of-*"),
    "tensorflow export": (TENSORFLOW, tree("export/x/1/"), {}, "without saved_model.pb"),
    "tensorflow half 3": (
        TENSORFLOW,
        [*tree("1/"), *tree("3/", without="saved_model.pb")],
        {"1": "1"},
        "version 3: no SavedModel without saved_model.pb",
    ),
}


@pytest.mark.parametrize(("kind", "paths", "served"), DEPLOYED.values(), ids=DEPLOYED)
def test_c34_layout_that_cortex_deploys_is_accepted_and_served(kind, paths, served):
    assert check_layout(paths, kind) is None
    assert versions_in(paths, kind) == served


@pytest.mark.parametrize(("kind", "paths", "served", "fault"), REJECTED.values(), ids=REJECTED)
def test_c34_layout_that_cortex_does_not_deploy_is_refused(kind, paths, served, fault):
    text = check_layout(paths, kind)

    assert text is not None
    assert fault in text.splitlines()[0]


@pytest.mark.parametrize(("kind", "paths", "served", "fault"), REJECTED.values(), ids=REJECTED)
def test_c36_what_is_good_in_a_refused_layout_is_served(kind, paths, served, fault):
    assert versions_in(paths, kind) == served


def test_c27_version_of_an_unversioned_model_is_1_and_its_folder_is_the_model():
    assert versions_in(["a.pkl"], PYTHON) == {"1": ""}


def test_c34_refusal_draws_both_allowed_trees_and_the_one_found():
    text = check_layout(["1/saved_model.pb", "1/assets/words.txt", "README"], TENSORFLOW)

    assert text is not None
    assert text.splitlines() == [
        "version folders are mixed with something else: README",
        "allowed, without versions:",
        "  saved_model.pb",
        "  variables/",
        "    variables.data-00000-of-00001",
        "    variables.index",
        "allowed, with versions:",
        "  <number>/",
        "    saved_model.pb",
        "    variables/",
        "      variables.data-00000-of-00001",
        "      variables.index",
        "found:",
        "  1/",
        "    assets/",
        "      words.txt",
        "    saved_model.pb",
        "  README",
    ]


def test_c34_refusal_draws_the_first_50_paths():
    text = check_layout([f"{n:03}.onnx" for n in range(120)], ONNX)

    assert text is not None
    drawn = text.partition("found:\n")[2].splitlines()
    assert drawn == [*(f"  {n:03}.onnx" for n in range(50)), "  ... and 70 more files"]


def test_refusal_of_an_empty_folder_says_that_nothing_was_found():
    text = check_layout([], PYTHON)

    assert text is not None
    assert text.endswith("found:\n  (nothing)")


@pytest.mark.parametrize(
    ("versions", "highest"),
    [
        (["1", "2", "10"], "10"),
        (["10", "9"], "10"),
        (["01", "1"], "1"),
        (["1", "01"], "1"),
        (["002", "02", "1"], "02"),
        (["1602013217", "7"], "1602013217"),
        (["0"], "0"),
    ],
    ids=str,
)
def test_c23_latest_is_the_numerically_highest(versions, highest):
    assert newest_first(versions)[0] == highest


@pytest.mark.parametrize("text", ["0", "1", "01", str(2**63 - 1)])
def test_number_of_int64_is_a_version(text):
    assert is_version(text)


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1.0", "v2", "1_0", " 1", "1\n", "²", "\u0663", str(2**63), "9" * 5000]
)
def test_anything_else_is_no_version(text):
    assert not is_version(text)


GOOD = {PYTHON: ["a.pkl", "sub/b"], TENSORFLOW: list(TREE), ONNX: ["m.onnx"]}
kinds = st.sampled_from(PredictorType)
numbers = st.sets(st.sampled_from(["0", "1", "2", "10", "01", "1602013217"]), min_size=1)
names = st.sampled_from(["1", "2", "01", "-1", "v2", "a.onnx", "saved_model.pb", "variables"])
names |= st.text(max_size=3).filter(lambda name: "/" not in name)
parts = st.sampled_from([*TREE, "a.onnx", "b.onnx", "sub/a.onnx", "a.pkl", "README"])
folders = st.lists(st.builds("{}/{}".format, names, parts) | parts | names, max_size=12)


def is_well_formed(files: set[str], kind: PredictorType) -> bool:
    """The rules of one version, said once more and in another way."""
    if kind is ONNX:
        return len(files) == 1 and all(f.endswith(".onnx") and "/" not in f for f in files)
    if kind is TENSORFLOW:
        return files >= set(TREE)
    return bool(files)


def versions_of(kind: PredictorType, found: set[str]) -> list[str]:
    return [f"{number}/{path}" for number in found for path in GOOD[kind]]


def below(folder: str, found: list[str]) -> set[str]:
    prefix = f"{folder}/" if folder else ""
    return {path.removeprefix(prefix) for path in found if path.startswith(prefix)}


@given(kinds, numbers)
def test_c23_versions_come_newest_first(kind, found):
    assert list(versions_in(versions_of(kind, found), kind)) == newest_first(found)


@given(folders, kinds)
def test_c36_only_well_formed_versions_are_served(found, kind):
    for version, folder in versions_in(found, kind).items():
        assert is_version(version)
        assert folder in ("", version)
        assert is_well_formed(below(folder, found), kind)


@given(folders, kinds)
def test_c36_every_well_formed_version_is_served(found, kind):
    served = versions_in(found, kind)

    for version in filter(is_version, {path.partition("/")[0] for path in found if "/" in path}):
        assert version in served or not is_well_formed(below(version, found), kind)


@given(kinds, numbers, folders)
def test_c36_junk_beside_good_versions_changes_nothing(kind, found, more):
    junk = [path for path in more if not is_version(path.partition("/")[0])]

    assert versions_in([*versions_of(kind, found), *junk], kind) == {n: n for n in found}


@given(kinds, numbers, folders)
def test_c36_upload_under_way_takes_no_good_version_away(kind, found, more):
    upload = [path for path in more if path.partition("/")[0] not in found]

    served = versions_in([*versions_of(kind, found), *upload], kind)

    assert {number: served.get(number) for number in found} == {n: n for n in found}


@given(kinds, numbers)
def test_c34_good_versions_alone_are_accepted(kind, found):
    assert check_layout(versions_of(kind, found), kind) is None


@given(folders, kinds)
def test_c34_everything_in_an_accepted_layout_is_served(found, kind):
    tops = {path.partition("/")[0] for path in found}

    assert check_layout(found, kind) or versions_in(found, kind) in (
        UNVERSIONED,
        {top: top for top in tops},
    )

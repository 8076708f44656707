"""Folders for servers that want one for each model."""

from benchmarks.kinds import Kind, Repository
from benchmarks.peers.per_model_folders import lay_out, stem


def test_each_model_gets_a_folder_with_a_link_to_its_file(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    repository = Repository(Kind.XGBOOST, source, 2, 1.0)
    for number in range(2):
        repository.path(number).write_text(f"model {number}")

    root = lay_out(
        repository, tmp_path, lambda folder, file: (folder / "told").write_text(file), place="1"
    )

    assert sorted(path.name for path in root.iterdir()) == ["m0", "m1"]
    assert (root / "m1" / "1" / "m1.ubj").read_text() == "model 1"
    assert (root / "m1" / "told").read_text() == "m1.ubj"


def test_stem_leaves_out_all_of_a_suffix():
    assert stem("m12.tar.gz") == "m12"

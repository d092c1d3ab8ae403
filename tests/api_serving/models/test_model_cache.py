"""The two versions on disk."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api_serving.models.model_cache import ModelCache, read_model
from tests.api_serving import tiny_model


def keep(kept: ModelCache, scratch: Path, version: str) -> None:
    """As the API does: from disk where it is, else from a fresh file."""
    found = kept.find(version, f"run-{version}")
    if found is None:
        file = tiny_model.build(scratch / "built.onnx", embedding=float(version))
        found = file, tiny_model.info_for(file, version, f"run-{version}")
    kept.keep(*found)


@settings(max_examples=40)
@given(st.lists(st.sampled_from("123"), min_size=1, max_size=8))
def test_the_last_two_versions_stay_and_nothing_else(order: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        kept = ModelCache(Path(folder) / "models" / "kept")
        before: str | None = None
        former: str | None = None
        for version in order:
            keep(kept, Path(folder), version)
            if version != before:
                former, before = before, version
            assert read_model(kept.last)[1].version == version
            expected = {each for each in (version, former) if each}
            assert {each for each in "123" if kept.find(each, f"run-{each}")} == expected
            assert len(list((Path(folder) / "models").iterdir())) == 2 * len(expected)  # links and what they name


def test_the_same_number_of_another_run_is_another_version(tmp_path: Path) -> None:
    kept = ModelCache(tmp_path / "kept")
    keep(kept, tmp_path, "1")
    assert kept.find("1", "another") is None


def test_a_failed_keep_leaves_both_as_they_were(tmp_path: Path) -> None:
    kept = ModelCache(tmp_path / "models" / "kept")
    for version in ("1", "2"):
        keep(kept, tmp_path, version)
    with pytest.raises(FileNotFoundError):
        kept.keep(tmp_path / "missing.onnx", tiny_model.info_for(tmp_path / "built.onnx", "3"))
    assert read_model(kept.last)[1].version == "2"
    assert kept.find("1", "run-1")
    assert len(list((tmp_path / "models").iterdir())) == 4


def test_a_link_left_by_a_killed_process_is_no_hindrance(tmp_path: Path) -> None:
    kept = ModelCache(tmp_path / "kept")
    for version in ("1", "2"):
        keep(kept, tmp_path, version)
        content = kept.last.resolve()
        content.with_suffix(".link").symlink_to(content.name)
    keep(kept, tmp_path, "1")
    assert read_model(kept.last)[1].version == "1"

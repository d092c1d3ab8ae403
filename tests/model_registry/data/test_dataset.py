from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.cli import UserError
from model_registry.data.content_hash import content_hash
from model_registry.data.dataset import (
    LabelledImage,
    class_names,
    group_names,
    manifest,
    manifest_text,
    parse_manifest,
    present_images,
    split,
)


def images(*counts: int, crops: int = 1) -> list[LabelledImage]:
    """`counts[i]` images of class i, `crops` of them from one photograph."""
    return [
        LabelledImage(f"c{target}/photo{number // crops}_{number % crops}.jpg", target)
        for target, count in enumerate(counts)
        for number in range(count)
    ]


def test_classes_are_the_folders_in_target_order() -> None:
    assert class_names([LabelledImage("wood/a.jpg", 1), LabelledImage("brick/b.jpg", 0)]) == ["brick", "wood"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("a/1.jpg", 0), ("a/2.jpg", 1), ("b/1.jpg", 1)], "one to one"),
        ([("a/1.jpg", 0), ("b/2.jpg", 0), ("c/1.jpg", 1)], "one to one"),
        ([("a/1.jpg", 0), ("a/1.jpg", 1)], "one to one"),
        ([("a/1.jpg", 0), ("b/1.jpg", 2)], "without gaps"),
        ([("a/1.jpg", 0), ("a/2.jpg", 0)], "at least two"),
        ([("a/1.jpg", 0), ("../2.jpg", 1)], "CLASS/FILE"),
        ([("a/1.jpg", 0), ("/etc", 1)], "CLASS/FILE"),
        ([("1.jpg", 0), ("b/1.jpg", 1)], "CLASS/FILE"),
        ([("a/b/1.jpg", 0), ("b/1.jpg", 1)], "CLASS/FILE"),
    ],
)
def test_rows_that_fit_no_folder_structure_are_refused(rows: list[tuple[str, int]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        class_names([LabelledImage(*row) for row in rows])


@given(
    counts=st.lists(st.integers(20, 60), min_size=2, max_size=4),
    crops=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_split_is_a_stratified_fifth_and_keeps_groups_together(counts: list[int], crops: int, seed: int) -> None:
    rows = images(*counts, crops=crops)
    # The class is part of the group: photographs of two classes have the same names here.
    rows = [LabelledImage(row.image_path.replace("photo", f"of{row.target}_"), row.target) for row in rows]
    names = [f"c{target}" for target in range(len(counts))]
    pattern = r"^(.+)_\d+\.jpg$"
    held_out = split(rows, names, pattern, seed)
    assert held_out == split(rows, names, pattern, seed)
    sides: dict[str, set[bool]] = {}
    for group, side in zip(group_names(rows, pattern), held_out, strict=True):
        sides.setdefault(group, set()).add(side)
    assert all(len(side) == 1 for side in sides.values())
    held = Counter(row.target for row, side in zip(rows, held_out, strict=True) if side)
    for target, count in enumerate(counts):
        assert abs(held[target] - count / 5) <= 2 * crops


def test_another_seed_gives_another_split() -> None:
    rows = images(30, 30)
    assert split(rows, ["c0", "c1"], None, 0) != split(rows, ["c0", "c1"], None, 1)


def test_groups() -> None:
    rows = [LabelledImage(f"{folder}/{name}", 0) for folder in "ab" for name in ("x_1.jpg", "x_2.jpg", "other.png")]
    captured = group_names(rows, r"^(\w)_(?:\d)")
    assert captured == ["x", "x", "a/other.png", "x", "x", "b/other.png"]
    assert len(set(group_names(rows, None))) == 6


def test_too_few_images_of_a_class_are_refused() -> None:
    with pytest.raises(UserError, match="class c1 has 4 images"):
        split(images(30, 4), ["c0", "c1"], None, 0)


def test_missing_images_are_counted_and_the_setting_named(tmp_path: Path) -> None:
    (tmp_path / "c0").mkdir()
    (tmp_path / "c0/photo0_0.jpg").touch()
    with pytest.raises(UserError, match=r"2 of 3 images .*c0/photo1_0\.jpg.*MODEL_REGISTRY_IMAGE_ROOT"):
        present_images(images(3), tmp_path)


def test_a_few_missing_images_are_left_out_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = images(20)
    (tmp_path / "c0").mkdir()
    for row in rows[1:]:
        (tmp_path / row.image_path).touch()
    assert present_images(rows, tmp_path) == rows[1:]
    assert f"1 of 20 images are not on disk, first {tmp_path / rows[0].image_path}" in caplog.text


def test_manifest_says_side_and_content(tmp_path: Path) -> None:
    (tmp_path / "ü").mkdir()
    files = [tmp_path / "ü" / name for name in ("a b.jpg", "c.jpg")]
    for file in files:
        file.write_text(file.name)
    images = [LabelledImage("ü/a b.jpg", 0), LabelledImage("ü/c.jpg", 0)]
    rows = manifest(images, files, ["test", "train"], "monday", content_hash)
    assert [row.split for row in rows] == ["test", "train"]
    # echo -n "c.jpg" | sha256sum
    assert rows[1].sha256 == "92b3b1c43b181905f01d7a411cfec1c08134886791277f535dd62c0a56d53294"
    assert parse_manifest(manifest_text(rows)) == rows

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.cli import UserError
from data_generate.rows.manifests import Item, read_manifest


def write(folder: Path, content: bytes) -> Path:
    (folder / "monday.json").write_bytes(content)
    return folder


def test_reads_items_and_names_the_version(tmp_path: Path) -> None:
    content = b'{"image_path": "wood/a.jpg", "target": 4}\n\n{"image_path": "unsorted/b.jpg"}\n'
    manifest = read_manifest(write(tmp_path, content), "monday")
    assert manifest.items == (Item(image_path="wood/a.jpg", target=4), Item(image_path="unsorted/b.jpg"))
    assert manifest.sha256 == hashlib.sha256(content).hexdigest()


@given(path=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=255))
def test_any_path_that_json_can_carry(tmp_path_factory: pytest.TempPathFactory, path: str) -> None:
    line = json.dumps({"image_path": path, "target": 0}).encode()
    manifest = read_manifest(write(tmp_path_factory.mktemp("manifest"), line + b"\n"), "monday")
    assert manifest.items[0].image_path == path


def test_missing_manifest_names_file_and_command(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"monday\.json cannot be read.*make sample-data"):
        read_manifest(tmp_path, "monday")


def test_empty_manifest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is empty.*make sample-data"):
        read_manifest(write(tmp_path, b"\n\n"), "monday")


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b'{"target": 1}',
        b'{"image_path": "", "target": 1}',
        b'{"image_path": "a", "target": "1"}',
        b'{"image_path": "a", "target": 1.5}',
        b'{"image_path": "a", "target": 3000000000}',
        b'{"image_path": "a\\u0000", "target": 1}',
        json.dumps({"image_path": "a" * 256, "target": 1}).encode(),
        b"\xff\xfe",
    ],
)
def test_broken_line_is_named_with_its_number(tmp_path: Path, line: bytes) -> None:
    good = b'{"image_path": "a", "target": 1}\n'
    with pytest.raises(UserError, match=r"monday\.json, line 2: .*make sample-data"):
        read_manifest(write(tmp_path, good + line + b"\n"), "monday")

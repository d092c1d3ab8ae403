import os
from pathlib import Path

import pytest

from api_serving.request_handling.image_store import ImageStore
from api_serving.request_handling.problems import Problem


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    root = tmp_path / "root"
    (root / "monday/red").mkdir(parents=True)
    (root / "monday/red/a.jpg").write_bytes(b"inside")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/b.jpg").write_bytes(b"outside")
    return ImageStore(root)


def refusal(store: ImageStore, path: str, dataset: str = "monday") -> int:
    with pytest.raises(Problem) as caught:
        store.read(dataset, path)
    return caught.value.status_code


def test_reads_a_file(store: ImageStore) -> None:
    assert store.read("monday", "red/a.jpg") == b"inside"


def test_the_dataset_may_be_a_link_but_nothing_in_it_may_lead_out(store: ImageStore) -> None:
    (store.root / "tuesday").symlink_to(store.root.parent / "outside")
    assert store.read("tuesday", "b.jpg") == b"outside"
    (store.root / "monday/folder").symlink_to(store.root.parent / "outside")
    (store.root / "monday/sibling.jpg").symlink_to(store.root / "tuesday/b.jpg")
    (store.root / "monday/loop.jpg").symlink_to("loop.jpg")
    for path in ("folder/b.jpg", "sibling.jpg", "loop.jpg"):
        assert refusal(store, path) == 422


def test_a_link_inside_the_dataset_is_fine(store: ImageStore) -> None:
    (store.root / "monday/again.jpg").symlink_to("red/a.jpg")
    assert store.read("monday", "again.jpg") == b"inside"


def test_a_folder_whose_name_begins_alike_is_outside(store: ImageStore) -> None:
    (store.root / "monday-secret").mkdir()
    (store.root / "monday-secret/c.jpg").write_bytes(b"secret")
    (store.root / "monday/c.jpg").symlink_to("../monday-secret/c.jpg")
    assert refusal(store, "c.jpg") == 422


def test_pipes_and_folders_are_no_images(store: ImageStore) -> None:
    os.mkfifo(store.root / "monday/pipe.jpg")
    (store.root / "monday/folder.jpg").mkdir()
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    assert refusal(store, "pipe.jpg") == 422
    assert refusal(store, "folder.jpg") == 422
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before


def test_a_file_as_dataset_is_no_dataset(store: ImageStore) -> None:
    (store.root / "friday").write_text("")
    assert refusal(store, "a.jpg", "friday") == 404

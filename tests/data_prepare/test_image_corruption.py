import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

from common.paths import REPOSITORY
from data_prepare.codec import decode
from data_prepare.corruptions import CORRUPTIONS
from data_prepare.image_corruption import app
from tests.data_prepare.conftest import RunCommand


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_the_output_mirrors_the_input(run_command: RunCommand, photographs: Path, tmp_path: Path, kind: str) -> None:
    before = contents(photographs)
    outcome = run_command(app, "-i", photographs, "-o", tmp_path / "tuesday", "--type", kind, "--workers", 1)
    after = contents(tmp_path / "tuesday")
    assert outcome.code == 0
    assert "6 of 6 images corrupted" in outcome.output
    assert contents(photographs) == before
    assert after.keys() == before.keys()
    for name in before:
        with Image.open(tmp_path / "tuesday" / name) as corrupted, Image.open(photographs / name) as original:
            assert (corrupted.format, corrupted.size) == ("JPEG", original.size)


def test_a_flat_folder_works_and_other_files_are_left_out(
    run_command: RunCommand, photographs: Path, tmp_path: Path
) -> None:
    (photographs / "brick" / "README.md").write_text("not a picture")
    (photographs / "brick" / "._brick_0.jpg").write_bytes(b"a resource fork")
    run_command(app, "-i", photographs / "brick", "-o", tmp_path / "out", "--type", "mosaic", "--workers", 1)
    assert set(contents(tmp_path / "out")) == {"brick_0.jpg", "brick_1.jpg", "brick_2.jpg"}


def test_bytes_depend_on_the_seed_and_not_on_the_workers(
    run_command: RunCommand, photographs: Path, tmp_path: Path
) -> None:
    for name, seed, workers in (("one", 7, 1), ("three", 7, 3), ("other", 8, 1)):
        arguments = ("--type", "random_boxes", "--seed", seed, "--workers", workers)
        assert run_command(app, "-i", photographs, "-o", tmp_path / name, *arguments).code == 0
    one, three, other = (contents(tmp_path / name) for name in ("one", "three", "other"))
    assert one == three
    assert all(one[name] != other[name] for name in one)


def test_each_image_is_corrupted_its_own_way(run_command: RunCommand, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (80, 80), "grey").save(tmp_path / "in" / name)
    run_command(app, "-i", tmp_path / "in", "-o", tmp_path / "out", "--type", "random_boxes", "--workers", 1)
    first, second = (decode((tmp_path / "out" / name).read_bytes()).pixels for name in ("a.png", "b.png"))
    assert (first != second).any()


def test_unreadable_files_are_named_and_the_rest_is_done(
    run_command: RunCommand, photographs: Path, tmp_path: Path
) -> None:
    intact = (photographs / "brick" / "brick_0.jpg").read_bytes()
    (photographs / "brick" / "empty.jpg").touch()
    (photographs / "wood" / "truncated.jpg").write_bytes(intact[: len(intact) // 2])
    outcome = run_command(app, "-i", photographs, "-o", tmp_path / "out", "--type", "mixed", "--workers", 2)
    assert outcome.code == 1
    assert "brick/empty.jpg" in outcome.errors
    assert "wood/truncated.jpg" in outcome.errors
    assert "Traceback" not in outcome.errors
    assert "6 of 8 images corrupted" in outcome.output
    assert len(contents(tmp_path / "out")) == 6


def test_a_claim_of_2_5_billion_pixels_is_refused_before_decoding(
    run_command: RunCommand, photographs: Path, tmp_path: Path
) -> None:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100)))
    (photographs / "brick" / "bomb.png").write_bytes(bomb)
    outcome = run_command(app, "-i", photographs, "-o", tmp_path / "out", "--type", "mixed", "--workers", 1)
    assert outcome.code == 1
    assert "bomb.png" in outcome.errors
    assert "pixels" in outcome.errors


@pytest.mark.parametrize("output", ["monday", "monday/brick/out", "."])
def test_originals_cannot_be_overwritten(
    run_command: RunCommand, photographs: Path, tmp_path: Path, output: str
) -> None:
    before = contents(photographs)
    outcome = run_command(app, "-i", photographs, "-o", tmp_path / output, "--type", "mixed")
    assert (outcome.code, outcome.errors.count("\n")) == (1, 0)
    assert "beside the input" in outcome.errors
    assert contents(photographs) == before


def test_a_link_to_the_input_is_seen_through(run_command: RunCommand, photographs: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(photographs)
    assert run_command(app, "-i", photographs, "-o", tmp_path / "link", "--type", "mixed").code == 1


@pytest.mark.parametrize(
    ("source", "says"), [("missing", "cannot be read"), ("a file", "cannot be read"), ("empty", "no images")]
)
def test_an_input_without_images_is_one_line(run_command: RunCommand, tmp_path: Path, source: str, says: str) -> None:
    (tmp_path / "a file").write_text("")
    (tmp_path / "empty").mkdir()
    outcome = run_command(app, "-i", tmp_path / source, "-o", tmp_path / "out", "--type", "mixed")
    assert (outcome.code, outcome.errors.count("\n")) == (1, 0)
    assert says in outcome.errors


def test_an_output_that_is_a_file_is_one_line(run_command: RunCommand, photographs: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("precious")
    outcome = run_command(app, "-i", photographs, "-o", tmp_path / "out", "--type", "mixed")
    assert (outcome.code, outcome.errors.count("\n")) == (1, 0)
    assert (tmp_path / "out").read_text() == "precious"


@pytest.mark.parametrize(
    "arguments", [("--type", "blur"), ("--severity", 6), ("--severity", 0), ("--workers", 0), ("--seed", "x")]
)
def test_wrong_options_are_usage_errors(
    run_command: RunCommand, photographs: Path, tmp_path: Path, arguments: tuple[str, object]
) -> None:
    outcome = run_command(app, "-i", photographs, "-o", tmp_path / "out", "--type", "mixed", *arguments)
    assert outcome.code == 2
    assert not (tmp_path / "out").exists()


def test_the_script_runs_from_its_own_folder(photographs: Path, tmp_path: Path) -> None:
    options = ["-i", str(photographs), "-o", str(tmp_path / "out"), "--type", "mixed"]
    command = [sys.executable, "image_corruption.py", *options]
    subprocess.run(command, cwd=REPOSITORY / "data_prepare", check=True, capture_output=True, timeout=60)
    assert len(contents(tmp_path / "out")) == 6

"""Whatever is sent, the answer is 4xx problem JSON that says what to do; never a 500."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from PIL import Image

from api_serving.request_handling.uploads import UPLOAD_LIMIT
from common.pictures.images import MAX_BYTES
from tests.api_serving.request_handling.asking import _post, problem


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("../../etc/passwd", 422),
        ("../secret.jpg", 422),
        ("red/../../../secret.jpg", 422),
        ("/etc/passwd", 422),
        ("//etc/passwd.jpg", 422),
        ("red/red_1.jpg\x00.png", 422),
        ("..\\..\\secret.jpg", 422),
        ("red/\ud800.jpg", 422),
        ("red/./red_1.jpg", 422),
        ("red//red_1.jpg", 422),
        ("", 422),
        ("x" * 252 + ".jpg", 422),
        ("ж" * 251 + ".jpg", 404),
        ("red/leaving.jpg", 422),
        ("red/none.jpg", 404),
        ("red/red_1.jpg/x.jpg", 404),
        ("%00.jpg", 404),
        ("..%2f..%2fetc%2fpasswd.jpg", 404),
        ("red", 415),
        ("red/red_1.txt", 415),
        ("red/text.jpg", 415),
        ("red/empty.jpg", 415),
        ("red/damaged.jpg", 422),
    ],
)
def test_bad_image_paths(client: httpx.Client, path: str, status: int) -> None:
    problem(_post(client, "/predict", {"image_path": path}), status)
    [item] = _post(client, "/predict/batch", {"items": [{"image_path": path}]}).json()["results"]
    assert item["status"] == status


@pytest.mark.parametrize(
    ("dataset", "status"), [("../monday", 422), ("", 422), (".", 422), ("a" * 65, 422), ("mon\n", 422), ("friday", 404)]
)
def test_bad_datasets(client: httpx.Client, dataset: str, status: int) -> None:
    problem(client.post("/predict", json={"image_path": "red/red_1.jpg", "dataset": dataset}), status)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"{", 422),
        (b"null", 422),
        (b"[]", 422),
        (b'{"image_path": 3}', 422),
        (b'{"image_path": null}', 422),
        (b'{"image_path": "\\ud800"}', 422),
        (b'{"image_path": "red/red_1.jpg", "dataset": []}', 422),
        (b'\xff\xfe{"image_path"', 400),
        (b"[" * 200_000, 400),
        (b"9" * 5_000, 400),
    ],
)
def test_bad_json(client: httpx.Client, body: bytes, status: int) -> None:
    for address in ("/predict", "/predict/batch"):
        problem(client.post(address, content=body, headers={"Content-Type": "application/json"}), status)


def test_json_without_its_header_says_which_header(client: httpx.Client) -> None:
    body = problem(client.post("/predict", content=b'{"image_path": "red/red_1.jpg"}'), 415)
    assert "Content-Type: application/json" in body["detail"]


def test_unknown_address_and_method(client: httpx.Client) -> None:
    assert "/docs" in problem(client.get("/nothing"), 404)["detail"]
    assert problem(client.get("/%00/../../etc/passwd"), 404)
    answer = client.get("/predict")
    assert "/docs" in problem(answer, 405)["detail"]
    assert answer.headers["allow"] == "POST"


FILE_PART = b'--x\r\nContent-Disposition: form-data; name="file"; filename="x.jpg"\r\n\r\n'


def _streamed(total: int, head: bytes = b"") -> Iterator[bytes]:
    yield head or b" "
    for _ in range(total // 65536 + 1):
        yield bytes(65536)


@pytest.mark.parametrize("address", ["/predict", "/predict/batch"])
def test_json_bodies_are_limited(client: httpx.Client, address: str) -> None:
    headers = {"Content-Type": "application/json"}
    problem(client.post(address, content=b" " * (1024 * 1024 + 1), headers=headers), 413)
    problem(client.post(address, content=_streamed(1024 * 1024), headers=headers), 413)


@pytest.mark.parametrize("media_type", ["image/jpeg", "multipart/form-data; boundary=x"])
def test_uploads_are_limited(client: httpx.Client, media_type: str) -> None:
    headers = {"Content-Type": media_type}
    problem(client.post("/predict/upload", content=bytes(UPLOAD_LIMIT + 1), headers=headers), 413)
    problem(client.post("/predict/upload", content=_streamed(UPLOAD_LIMIT, FILE_PART), headers=headers), 413)


def test_an_image_file_above_the_limit(client: httpx.Client, image_root: Any) -> None:
    file = image_root / "monday/red/huge.jpg"
    with file.open("wb") as opened:
        opened.truncate(MAX_BYTES + 1)
    problem(client.post("/predict", json={"image_path": "red/huge.jpg"}), 413)


def _png_that_claims(width: int, height: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


def _gif() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "GIF")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 422),
        (b"no picture", 415),
        (_gif(), 415),
        (_png_that_claims(50_000, 50_000), 413),
        (_png_that_claims(8_000, 8_000), 413),
        (_png_that_claims(400, 400), 422),
    ],
)
def test_bad_uploads(client: httpx.Client, content: bytes, status: int) -> None:
    problem(client.post("/predict/upload", content=content, headers={"Content-Type": "image/png"}), status)
    problem(client.post("/predict/upload", files={"file": ("x.png", content)}), status)


def test_truncated_upload(client: httpx.Client, encoded: Callable[..., bytes]) -> None:
    content = encoded("red", "JPEG", (640, 480))[:900]
    problem(client.post("/predict/upload", content=content, headers={"Content-Type": "image/jpeg"}), 422)


@pytest.mark.parametrize(
    ("media_type", "content", "status"),
    [
        ("text/plain", b"x", 415),
        ("application/x-www-form-urlencoded", b"file=x", 415),
        ("multipart/form-data", b"x", 400),
        ("multipart/form-data; boundary=x", b"x", 400),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nabc\r\n--x--',
            422,
        ),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data\r\n\r\nabc\r\n--x--", 400),
        (
            "multipart/form-data; charset=undefined; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nabc\r\n--x--',
            400,
        ),
    ],
)
def test_bad_forms(client: httpx.Client, media_type: str, content: bytes, status: int) -> None:
    problem(client.post("/predict/upload", content=content, headers={"Content-Type": media_type}), status)


def test_form_with_two_files(client: httpx.Client) -> None:
    files = [("file", ("a.jpg", b"a")), ("file", ("b.jpg", b"b"))]
    problem(client.post("/predict/upload", files=files), 400)

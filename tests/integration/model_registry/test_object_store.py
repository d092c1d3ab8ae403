"""What the platform asks of its S3 server, whichever it is."""

import base64
import hashlib
import uuid
from collections.abc import Iterator
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from common.paths import REPOSITORY
from local_stack.processes.object_store import ACCESS_KEY, SECRET_KEY
from tests.e2e.containers import Containers, image, is_available, missing_prerequisite

PORT = 26400
"""Of the containers here: others may run beside them."""

PART = 5 * 1024 * 1024
"""Bytes: the least that S3 takes for a part that is not the last."""


def client(endpoint: str, access_key: str = ACCESS_KEY, secret_key: str = SECRET_KEY) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name="us-east-1",
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=30),
    )


@pytest.fixture(scope="module", params=["local stack", "minio", "seaweedfs"])
def endpoint(request: pytest.FixtureRequest) -> Iterator[str]:
    """The store of the local stack, and those that containers can have."""
    if request.param == "local stack":
        stack = request.getfixturevalue("stack")
        stack.wait_ready("object-store")
        yield stack.s3_endpoint
        return
    if (why := missing_prerequisite()) or not is_available(why := image(f"object-store-{request.param}")):
        pytest.skip(f"no container of this store can be started here: {why}")
    store = Containers(
        REPOSITORY / "model_registry" / "docker-compose.yaml",
        f"cargo-test-{request.param}",
        {
            "OBJECT_STORE": request.param,
            "CARGO_NETWORK": f"cargo-test-{request.param}",
            "OBJECT_STORE_PORT": str(PORT),
            "OBJECT_STORE_CONSOLE_PORT": str(PORT + 1),
        },
    )
    try:
        store.compose("up", "-d", "--wait", "mlflow-artifact-store")
        yield f"http://127.0.0.1:{PORT}"
    finally:
        store.down("--volumes")


@pytest.fixture(scope="module")
def s3(endpoint: str) -> Any:
    return client(endpoint)


@pytest.fixture(scope="module")
def bucket(s3: Any) -> Iterator[str]:
    name = f"contract-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=name)
    yield name
    for entry in s3.list_objects_v2(Bucket=name).get("Contents", []):
        s3.delete_object(Bucket=name, Key=entry["Key"])
    s3.delete_bucket(Bucket=name)


def test_bucket_is_listed(s3: Any, bucket: str) -> None:
    assert bucket in {entry["Name"] for entry in s3.list_buckets()["Buckets"]}


def test_bytes_come_back_and_are_replaced(s3: Any, bucket: str) -> None:
    for body in (b"", b"first", bytes(range(256)) * 1000):
        s3.put_object(Bucket=bucket, Key="folder/ä b+c.bin", Body=body, ContentType="application/x-test")
        answer = s3.get_object(Bucket=bucket, Key="folder/ä b+c.bin")
        assert answer["Body"].read() == body
        assert answer["ContentLength"] == len(body)
        assert answer["ContentType"] == "application/x-test"


def test_a_range_is_read_alone(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="range", Body=b"0123456789")
    assert s3.get_object(Bucket=bucket, Key="range", Range="bytes=3-6")["Body"].read() == b"3456"


def test_parts_become_one_object(s3: Any, bucket: str) -> None:
    parts = [hashlib.shake_128(bytes([number])).digest(PART if number < 2 else 1234) for number in range(3)]
    upload = s3.create_multipart_upload(Bucket=bucket, Key="large")["UploadId"]
    tags = [
        s3.upload_part(Bucket=bucket, Key="large", UploadId=upload, PartNumber=number, Body=part)["ETag"]
        for number, part in enumerate(parts, start=1)
    ]
    with pytest.raises(ClientError, match=r"NoSuchKey|404"):
        s3.head_object(Bucket=bucket, Key="large")
    listed = [{"ETag": tag, "PartNumber": number} for number, tag in enumerate(tags, start=1)]
    s3.complete_multipart_upload(Bucket=bucket, Key="large", UploadId=upload, MultipartUpload={"Parts": listed})
    assert s3.get_object(Bucket=bucket, Key="large")["Body"].read() == b"".join(parts)


def test_listing_has_pages_prefixes_and_folders(s3: Any, bucket: str) -> None:
    names = [f"list/{folder}/{number}" for folder in "ab" for number in range(3)]
    for name in names:
        s3.put_object(Bucket=bucket, Key=name, Body=b"x")
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Prefix="list/", PaginationConfig={"PageSize": 2}
    )
    sizes, found = [], []
    for page in pages:
        keys = [entry["Key"] for entry in page.get("Contents", [])]
        sizes.append(len(keys))
        found += keys
    assert found == names
    assert max(sizes) == 2
    folders = s3.list_objects_v2(Bucket=bucket, Prefix="list/", Delimiter="/")["CommonPrefixes"]
    assert [entry["Prefix"] for entry in folders] == ["list/a/", "list/b/"]


def test_what_is_deleted_is_gone(s3: Any, bucket: str) -> None:
    for name in ("gone/1", "gone/2", "gone/3"):
        s3.put_object(Bucket=bucket, Key=name, Body=b"x")
    s3.delete_object(Bucket=bucket, Key="gone/1")
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "gone/2"}, {"Key": "gone/3"}]})
    assert s3.list_objects_v2(Bucket=bucket, Prefix="gone/")["KeyCount"] == 0
    with pytest.raises(ClientError) as refused:
        s3.get_object(Bucket=bucket, Key="gone/1")
    assert refused.value.response["Error"]["Code"] == "NoSuchKey"
    s3.delete_object(Bucket=bucket, Key="gone/1")  # Deleting what is not there is no error.


def test_checksums_are_kept_and_wrong_ones_refused(s3: Any, bucket: str) -> None:
    body = b"to be summed"
    right = base64.b64encode(hashlib.sha256(body).digest()).decode()
    s3.put_object(Bucket=bucket, Key="sum", Body=body, ChecksumSHA256=right)
    assert s3.get_object(Bucket=bucket, Key="sum")["Body"].read() == body
    wrong = base64.b64encode(hashlib.md5(b"something else", usedforsecurity=False).digest()).decode()
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=bucket, Key="sum", Body=body, ContentMD5=wrong)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert s3.get_object(Bucket=bucket, Key="sum")["Body"].read() == body


@pytest.mark.parametrize(("access_key", "secret_key"), [(ACCESS_KEY, "wrong-secret"), ("nobody", SECRET_KEY)])
def test_wrong_keys_are_refused(endpoint: str, s3: Any, bucket: str, access_key: str, secret_key: str) -> None:
    s3.put_object(Bucket=bucket, Key="private", Body=b"x")
    stranger = client(endpoint, access_key, secret_key)
    calls: list[tuple[str, dict[str, object]]] = [
        ("get_object", {"Key": "private"}),
        ("put_object", {"Key": "private", "Body": b"y"}),
        ("list_objects_v2", {}),
    ]
    for name, arguments in calls:
        with pytest.raises(ClientError) as refused:
            getattr(stranger, name)(Bucket=bucket, **arguments)
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert s3.get_object(Bucket=bucket, Key="private")["Body"].read() == b"x"


def test_no_keys_are_refused(endpoint: str, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="private", Body=b"x")
    assert httpx.get(f"{endpoint}/{bucket}/private").status_code == 403
    assert httpx.put(f"{endpoint}/{bucket}/private", content=b"y").status_code == 403

"""Whatever is sent, the answer says what is wrong with it."""

from typing import Any

import httpx
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.api_serving.request_handling.asking import _post, problem

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=8,
)


references = st.fixed_dictionaries({}, optional={"image_path": json_values, "dataset": json_values})


bodies = json_values | references | st.fixed_dictionaries({"items": st.lists(references, max_size=5) | json_values})


@hypothesis_settings(max_examples=150, deadline=None)
@given(address=st.sampled_from(["/predict", "/predict/batch"]), body=bodies)
def test_any_json_gets_a_client_error_or_results(client: httpx.Client, address: str, body: Any) -> None:
    answer = _post(client, address, body)
    if answer.status_code == 200:
        assert all(400 <= item["status"] < 500 for item in answer.json()["results"])
    else:
        assert 400 <= answer.status_code < 500
        problem(answer, answer.status_code)


@hypothesis_settings(max_examples=100, deadline=None)
@given(
    path=st.lists(
        st.sampled_from(["..", ".", "", "/", "red", "red_1.jpg", "secret.jpg", "\\", "\x00", "%2e%2e", "root", "~"])
        | st.text(st.characters(), max_size=8),
        min_size=1,
        max_size=8,
    ).map("/".join)
)
def test_no_path_reaches_outside(client: httpx.Client, path: str) -> None:
    answer = _post(client, "/predict", {"image_path": path})
    if answer.status_code == 200:
        assert answer.json()["class_name"] == "red"  # the secret picture is blue
    else:
        assert 400 <= answer.status_code < 500


@hypothesis_settings(max_examples=100, deadline=None)
@given(
    content=st.binary(max_size=400),
    media_type=st.sampled_from(["image/jpeg", "multipart/form-data; boundary=x", "", "image/", "a/b"])
    | st.from_regex(r"[!-~][ -~]{0,40}[!-~]", fullmatch=True),
)
def test_any_upload_gets_a_client_error(client: httpx.Client, content: bytes, media_type: str) -> None:
    answer = client.post("/predict/upload", content=content, headers={"Content-Type": media_type})
    assert 400 <= answer.status_code < 500
    problem(answer, answer.status_code)

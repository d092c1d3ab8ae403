"""Requests that must be refused."""

import json
from typing import Any

import httpx


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert set(body) == {"type", "title", "status", "detail"}
    assert body["status"] == status
    assert "Traceback" not in body["detail"]
    assert len(body["detail"]) > 20
    return body


def _post(client: httpx.Client, address: str, body: Any) -> httpx.Response:
    """With characters escaped, so that also halves of characters can be sent."""
    return client.post(address, content=json.dumps(body).encode(), headers={"Content-Type": "application/json"})

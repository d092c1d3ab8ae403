import pytest
from pydantic import ValidationError

from model_registry.settings import Settings


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("MODEL_REGISTRY_BACKEND_STORE_URI", "postgresql://u:p@h/d", r"postgresql\+psycopg2://"),
        ("MODEL_REGISTRY_GROUP_PATTERN", "(", "no regular expression"),
        ("MODEL_REGISTRY_GROUP_PATTERN", "photo", "round brackets"),
        ("MODEL_REGISTRY_TRACKING_URI", "mlruns", "http://HOST:PORT"),
        ("MODEL_REGISTRY_S3_ENDPOINT_URL", "http://", "http://HOST:PORT"),
        ("MODEL_REGISTRY_S3_BUCKET", "A b", "match pattern"),
        ("MODEL_REGISTRY_MINIMUM_ACCURACY", "80", "less than or equal to 1"),
    ],
)
def test_wrong_values_are_refused(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValidationError, match=message):
        Settings()


def test_every_address_moves_with_the_port_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARGO_PORT_OFFSET", "100")
    settings = Settings()
    assert settings.port == 5101
    assert settings.tracking_uri == "http://127.0.0.1:5101"
    assert settings.s3_endpoint_url == "http://127.0.0.1:9100"
    assert ":5533/" in settings.backend_store_uri
    assert ":5532/" in settings.source_database_url


def test_the_secret_key_is_not_shown() -> None:
    assert "cargo-secret-key" not in repr(Settings())

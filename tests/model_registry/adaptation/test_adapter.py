"""The adapter while it lacks what it needs."""

import subprocess
import sys
import threading

from common.health.state import Health
from model_registry.adapter import Adapter
from model_registry.settings import Settings

NOWHERE = "127.0.0.1:9"


def test_it_says_what_is_missing_and_looks_on() -> None:
    stop, health = threading.Event(), Health()
    stop.set()  # Nothing pauses.
    settings = Settings(target_database_url=f"postgresql://u:p@{NOWHERE}/d", tracking_uri=f"http://{NOWHERE}")
    adapter = Adapter(settings, "sk_model", health, stop)
    adapter.run_once()
    ready, detail = health.ready()
    assert not ready
    assert "127.0.0.1:9/d cannot be reached" in detail["missing"]["database"]
    assert health.live()[0]


def test_it_stays_small() -> None:
    """Between runs it must not hold what only a run needs."""
    code = "import sys, model_registry.adapter; print(*{'mlflow', 'sklearn', 'onnx', 'numpy'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == ""

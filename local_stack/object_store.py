"""SeaweedFS as one process with an S3 server on the documented port."""

import json
import sysconfig
from pathlib import Path

from common.settings import local_port

ACCESS_KEY = "cargo-access-key"
SECRET_KEY = "cargo-secret-key"  # noqa: S105 - the documented local default

PORTS = {"object-store": 9000, "object-store master": 19333, "object-store volume": 19340, "object-store filer": 18888}
"""SeaweedFS also takes each of the last three + 10000 for its own calls."""


def prepare(home: Path) -> list[str]:
    """Write the identities file and return the command. State goes to `home`."""
    data = home / "data"
    data.mkdir(parents=True, exist_ok=True)
    identities = home / "s3.json"
    identities.touch(mode=0o600)
    identity = {
        "name": "cargo",
        "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    identities.write_text(json.dumps({"identities": [identity]}))
    return [
        str(Path(sysconfig.get_path("scripts"), "weed")),
        "mini",
        f"-dir={data}",
        "-ip=127.0.0.1",
        # Without this it listens on every address of the machine.
        "-ip.bind=127.0.0.1",
        f"-s3.port={local_port(9000)}",
        f"-s3.config={identities}",
        f"-master.port={local_port(19333)}",
        f"-volume.port={local_port(19340)}",
        f"-filer.port={local_port(18888)}",
        # Services that nothing here uses.
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-s3.iam=false",
        "-webdav=false",
        "-admin.ui=false",
        # On by default, it calls its makers.
        "-master.telemetry=false",
        "-volume.max=32",
        "-master.volumeSizeLimitMB=64",
    ]

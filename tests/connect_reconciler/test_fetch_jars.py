"""`kafka/fetch-jars.sh` on a folder of its own, with a Maven that copies text files."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from common.paths import REPOSITORY
from common.waiting import wait_until

FOLDERS = {"worker": "kafka", "postgres": "plugins/debezium-postgres", "jdbc": "plugins/debezium-jdbc"}
TOOLS = ["sh", "cat", "chmod", "cp", "dirname", "find", "grep", "mkdir", "mktemp", "mv", "rm", "sha256sum", "wc"]
SCRIPT, POM, SUMS = "fetch-jars.sh", "pom.xml", "jars.sha256"

MAVEN = """#!/bin/sh
echo "$*" >> "$HERE/maven.log"
for argument in "$@"; do
    case "$argument" in -Dout=*) out=${argument#-Dout=} ;; esac
    case "$previous" in -P) profile=$argument ;; esac
    previous=$argument
done
case "$profile" in worker) folder=kafka ;; *) folder=plugins/debezium-$profile ;; esac
mkdir -p "$out/$folder"
cp "$HERE/repository/$folder/"* "$out/$folder/"
"""


class Folder:
    """A copy of `kafka/` with two small jars a profile, and what Maven would fetch in `repository/`."""

    def __init__(self, here: Path) -> None:
        self.here = here
        self.kafka = here / "kafka"
        self.jars = self.kafka / "jars"
        self.kafka.mkdir()
        for name in (SCRIPT, POM):
            shutil.copy(REPOSITORY / "kafka" / name, self.kafka)
        sums = []
        for folder in FOLDERS.values():
            for name in ("a-1.0.jar", "b-2.0.jar"):
                jar = here / "repository" / folder / name
                jar.parent.mkdir(parents=True, exist_ok=True)
                jar.write_text(f"{folder} {name}")
                sums.append(f"{hashlib.sha256(jar.read_bytes()).hexdigest()}  {folder}/{name}\n")
        (self.kafka / SUMS).write_text("".join(sums))
        self.tools = here / "bin"
        self.tools.mkdir()
        for tool in TOOLS:
            (self.tools / tool).symlink_to(shutil.which(tool) or "missing")
        self.maven_does(MAVEN)

    def maven_does(self, script: str) -> None:
        (self.tools / "mvn").write_text(script)
        (self.tools / "mvn").chmod(0o755)

    def begin(self, *profiles: str) -> subprocess.Popen[str]:
        environment = {"PATH": str(self.tools), "HERE": str(self.here)}
        command = ["sh", str(self.kafka / SCRIPT), *profiles]
        # Not from its own folder: the script finds that by itself.
        return subprocess.Popen(
            command, cwd=self.here, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def fetch(self, *profiles: str) -> subprocess.CompletedProcess[str]:
        with self.begin(*profiles) as process:
            output, errors = process.communicate(timeout=60)
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    def present(self) -> set[str]:
        return {str(jar.relative_to(self.jars)) for jar in self.jars.rglob("*") if jar.is_file()}

    def leftovers(self) -> list[str]:
        return sorted({path.name for path in self.kafka.iterdir()} - {SCRIPT, POM, SUMS, "jars"})

    def maven_calls(self) -> int:
        log = self.here / "maven.log"
        return len(log.read_text().splitlines()) if log.exists() else 0


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def _jars(*profiles: str) -> set[str]:
    return {f"{FOLDERS[profile]}/{name}" for profile in profiles for name in ("a-1.0.jar", "b-2.0.jar")}


def test_everything_is_fetched_once_and_then_left_alone(folder: Folder) -> None:
    first = folder.fetch()
    assert first.returncode == 0, first.stderr
    assert folder.present() == _jars(*FOLDERS)
    assert folder.leftovers() == []
    assert all(os.access(folder.jars / name, os.R_OK | os.X_OK) for name in FOLDERS.values())
    assert folder.maven_calls() == 3
    times = {jar: jar.stat().st_mtime_ns for jar in folder.jars.rglob("*.jar")}
    (folder.tools / "mvn").unlink()
    again = folder.fetch()
    assert (again.returncode, again.stdout, again.stderr) == (0, "", ""), "no Maven is needed for complete folders"
    assert {jar: jar.stat().st_mtime_ns for jar in folder.jars.rglob("*.jar")} == times


def test_only_the_named_profiles_are_fetched(folder: Folder) -> None:
    assert folder.fetch("postgres", "jdbc").returncode == 0
    assert folder.present() == _jars("postgres", "jdbc")


@pytest.mark.parametrize("damage", ["extra", "missing", "changed"])
def test_a_damaged_folder_is_fetched_anew_and_the_others_are_not(folder: Folder, damage: str) -> None:
    folder.fetch()
    jar = folder.jars / "kafka" / "a-1.0.jar"
    if damage == "extra":
        (jar.parent / "old-0.9.jar").write_text("left by an upgrade")
    elif damage == "missing":
        jar.unlink()
    else:
        jar.write_text("cut short")
    assert folder.fetch().returncode == 0
    assert folder.present() == _jars(*FOLDERS)
    assert jar.read_text() == "kafka a-1.0.jar"
    assert folder.maven_calls() == 4


@pytest.mark.parametrize("damage", ["extra", "missing", "changed"])
def test_jars_other_than_the_pinned_are_refused(folder: Folder, damage: str) -> None:
    jar = folder.here / "repository" / "kafka" / "b-2.0.jar"
    if damage == "extra":
        (jar.parent / "c-1.0.jar").write_text("not asked for")
    elif damage == "missing":
        jar.unlink()
    else:
        jar.write_text("someone else's")
    answer = folder.fetch("worker")
    assert answer.returncode == 1
    assert "error: the jars fetched for kafka are not those of kafka/jars.sha256" in answer.stderr
    said = {
        "extra": "c-1.0.jar: not listed",
        "missing": "b-2.0.jar: FAILED open or read",
        "changed": "b-2.0.jar: FAILED",
    }
    assert f"kafka/{said[damage]}" in answer.stderr
    assert folder.present() == set()
    assert folder.leftovers() == []


def test_refused_jars_do_not_replace_what_is_there(folder: Folder) -> None:
    folder.fetch("worker")
    (folder.jars / "kafka" / "extra-1.0.jar").write_text("x")
    (folder.here / "repository" / "kafka" / "b-2.0.jar").write_text("someone else's")
    assert folder.fetch("worker").returncode == 1
    assert folder.present() == _jars("worker") | {"kafka/extra-1.0.jar"}


def test_without_maven_it_says_what_to_install(folder: Folder) -> None:
    (folder.tools / "mvn").unlink()
    answer = folder.fetch()
    assert answer.returncode == 1
    assert answer.stderr.startswith("error: Maven is missing")
    assert "apt-get install maven" in answer.stderr
    assert folder.leftovers() == []


def test_a_failing_maven_is_named_and_leaves_nothing(folder: Folder) -> None:
    folder.maven_does("#!/bin/sh\necho 'unknown host' >&2\nexit 1\n")
    answer = folder.fetch("jdbc")
    assert answer.returncode == 1
    assert "unknown host" in answer.stderr
    assert "error: Maven could not fetch the jars of plugins/debezium-jdbc" in answer.stderr
    assert folder.present() == set()
    assert folder.leftovers() == []


def test_what_comes_is_counted_and_maven_says_no_more(folder: Folder) -> None:
    many = 'i=0; while [ $i -lt 250 ]; do echo "[INFO] Downloaded from there: $i"; i=$((i + 1)); done\n'
    folder.maven_does(MAVEN + many)
    answer = folder.fetch("jdbc")
    assert answer.returncode == 0
    assert answer.stderr.splitlines() == ["  100 files came", "  200 files came"]
    assert "Downloaded" not in answer.stdout


def test_an_interrupted_run_leaves_nothing_that_looks_complete(folder: Folder) -> None:
    folder.maven_does(MAVEN + ': >"$HERE/fetched"; until [ -e "$HERE/told" ]; do :; done\n')
    with folder.begin("worker") as process:
        wait_until((folder.here / "fetched").exists, "Maven has fetched", timeout_s=60)
        process.terminate()
        (folder.here / "told").touch()
    assert process.returncode == 143
    assert folder.present() == set()
    assert folder.leftovers() == []


def test_an_unknown_profile_is_a_usage_error(folder: Folder) -> None:
    answer = folder.fetch("zookeeper")
    assert answer.returncode == 2
    assert "no profile zookeeper. There are: worker postgres jdbc" in answer.stderr
    assert folder.maven_calls() == 0

"""The images: pinned, of whole stages, and run by nobody special."""

import re
from pathlib import Path

import pytest

from common.paths import REPOSITORY
from tests.repo.compose import BASES, STAGE_FILES, written
from tests.repo.compose_services import TOOLS, names, services


def test_images_of_others_are_named_in_one_place_with_their_version() -> None:
    for file in STAGE_FILES:
        assert "image:" not in file.read_text(), f"{file}: name the image in {BASES}"
    text = BASES.read_text()
    pinned = re.findall(r"^\s*(?:image|[A-Z]+_IMAGE): (?:&\w+ )?([a-z]\S+)$", text, re.MULTILINE)
    assert len(pinned) >= 7
    for image in pinned:
        _, _, tag = image.rpartition(":")
        assert re.search(r"\d", tag), image
        assert "latest" not in tag, image


@pytest.mark.parametrize("file", sorted(REPOSITORY.glob("*/*Dockerfile")), ids=names)
def test_dockerfiles(file: Path) -> None:
    text = file.read_text()
    assert len(re.findall(r"^FROM \$\{[A-Z]+_IMAGE\}", text, re.MULTILINE)) == len(re.findall("^FROM", text, re.M)) == 2
    assert not re.search(r"^ARG \w+=", text, re.MULTILINE), "versions are in common/service.yaml"
    last = text[text.rindex("FROM ") :]
    user = re.findall(r"^USER (\S+)$", last, re.MULTILINE)
    assert user, "no USER"
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user[-1])
    assert re.search(r"^CMD \[", last, re.MULTILINE), "CMD in exec form"
    for line in re.findall(r"^.*pip install.*$", text, re.MULTILINE):
        assert "--require-hashes" in line
    assert not text.startswith("# syntax"), "a front end that has to be fetched"
    assert "<<" not in text


def test_images_hold_whole_stages() -> None:
    """Folder by folder: a list of modules would miss the next subpackage, and only the running service would tell."""
    assert "\nCOPY common/ common/\nCOPY ${STAGE}/ ${STAGE}/\n" in (REPOSITORY / "common" / "Dockerfile").read_text()


def test_our_services_share_one_dockerfile_and_say_what_they_run() -> None:
    for file in STAGE_FILES:
        for name, service in services(written(file)):
            if service["extends"]["service"] == "python":
                assert (REPOSITORY / service["build"]["args"]["STAGE"] / "__init__.py").exists(), name
                assert "command" in service or name in TOOLS, name

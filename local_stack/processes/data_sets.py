"""Puts the images where the stages look for them: the rendered sample, or the user's own folders."""

import subprocess
import sys
from pathlib import Path

from common.cli import UserError
from common.paths import IMAGE_ROOT, MANIFESTS
from local_stack.settings import Settings


def prepare_data_sets(settings: Settings) -> dict[str, str]:
    """Make `monday`, `tuesday` and their manifests where they are missing; return the environment that names them.

    Images of the user's own are linked, never copied or changed. What an earlier call finished is kept.
    """
    if settings.monday_dir is None:
        image_root, manifests = IMAGE_ROOT, MANIFESTS
    else:
        image_root, manifests = settings.state_dir / "images", settings.state_dir / "manifests"
        _link(image_root / "monday", settings.monday_dir, "MONDAY_DIR")
    if settings.tuesday_dir is not None:
        _link(image_root / "tuesday", settings.tuesday_dir, "TUESDAY_DIR")
    own = [*(["--no-render"] if settings.monday_dir else []), *(["--no-corrupt"] if settings.tuesday_dir else [])]
    manifests.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "data_prepare.data_sets", "--root", str(image_root), "--output", str(manifests)]
    if subprocess.run([*command, *own], check=False).returncode != 0:
        raise UserError("the images could not be prepared; the message stands above")
    return {
        "API_SERVING_IMAGE_ROOT": str(image_root.resolve()),
        "MODEL_REGISTRY_IMAGE_ROOT": str(image_root.resolve()),
        "DATA_GENERATE_MANIFEST_DIR": str(manifests.resolve()),
    }


def remember_data_set(settings: Settings) -> None:
    """Tie the state to its images: rows of one data set and a model of another would contradict each other."""
    marker = settings.state_dir / "data_set.txt"
    wanted = str((settings.monday_dir or IMAGE_ROOT / "monday").resolve())
    if not marker.exists():
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.write_text(wanted)
    elif (kept := marker.read_text()) != wanted:
        raise UserError(
            f"{settings.state_dir} holds rows and models of {kept}, not of {wanted}. "
            "Remove it with `make clean-local`, or set LOCAL_STACK_STATE_DIR to another folder."
        )


def _link(link: Path, folder: Path, variable: str) -> None:
    if not folder.is_dir():
        raise UserError(f"{variable}={folder} is no folder. Name one that holds one folder a class.")
    if link.is_symlink():
        link.unlink()
    if link.exists():
        raise UserError(f"{link} is in the way of {variable}. Remove it.")
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(folder.resolve(), target_is_directory=True)

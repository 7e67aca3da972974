"""Promotes a winner to a candidate, a canary or the active version.

A winner is a better template that a job has made. The winner is stored as a folder with the template, its other files,
and `lineage.json`.
"""

import difflib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.disk.atomic_file import write_whole
from gateway.prompt.authoring.promote_rollback import end_canary
from gateway.prompt.library.library import load_library
from gateway.prompt.library.pointers import Pointer, change_pointer
from gateway.prompt.templates.parse import parse
from gateway.prompt.templates.template import Template
from gateway.settings.tables import Settings
from offline_jobs.errors import JobFailed
from offline_jobs.publish import git
from offline_jobs.publish.decisions import LoggedDecision, log_decision

WINNER, LINEAGE = "winner.prompt.md", "lineage.json"
STEPS = ("off", "candidate", "canary", "active")
PERSON = "person"


class Winner(Struct, frozen=True):
    folder: Path
    template: Template
    source: str
    parent_file: Path
    lineage: Mapping[str, Any]

    @property
    def file(self) -> Path:
        """The path at which the winner's file is written, beside the parent's file."""
        stem = self.parent_file.name.removesuffix(".prompt.md").partition(".v")[0]
        return self.parent_file.with_name(f"{stem}.v{self.template.version}.prompt.md")

    @property
    def others(self) -> Mapping[Path, Path]:
        """The winner's other files. Each file is mapped to the path at which it is written."""
        own = {WINNER, LINEAGE}
        return {
            file: self.parent_file.parent / file.name
            for file in sorted(self.folder.iterdir())
            if file.is_file() and file.name not in own
        }


def read_winner(folder: Path) -> Winner:
    """Read the winner in a job's folder. Raises `JobFailed` if there is none."""
    file = folder / WINNER
    if not file.exists():
        raise JobFailed(f"{folder.parent.name} has no winner: no candidate was better than the template")
    source = file.read_text("utf-8")
    lineage = msgspec.json.decode((folder / LINEAGE).read_bytes(), type=dict[str, Any])
    return Winner(folder, parse(source, str(file)), source, Path(lineage["parent_file"]), lineage)


def diff(winner: Winner) -> str:
    """Return the differences between the parent's source and the winner's, as a unified diff."""
    before = winner.parent_file.read_text("utf-8").splitlines(keepends=True)
    after = winner.source.splitlines(keepends=True)
    return "".join(difflib.unified_diff(before, after, str(winner.parent_file), str(winner.file)))


def promote(settings: Settings, winner: Winner, to: str, by: str, *, branch: str = "") -> Path:
    """Write the winner's files beside the parent's. For `canary` and `active`, also move the pointer.

    With `branch`, the files are committed to that branch instead. Raises `JobFailed` if a job promotes further than
    `[jobs] auto` allows. A person may promote to every state.
    """
    if by != PERSON and STEPS.index(to) > STEPS.index(settings.jobs.auto):
        raise JobFailed(f'[jobs] auto = "{settings.jobs.auto}" reserves {to} for a person: foreword jobs promote {by}')
    reason = str(winner.lineage.get("verdict", winner.lineage.get("said", "")))
    if branch:
        files = {
            winner.file: winner.source,
            **{there: here.read_text("utf-8") for here, there in winner.others.items()},
        }
        git.commit(winner.parent_file.parent, files, branch, f"{winner.template.ref}: {reason}\n\nBy {by}.")
        return winner.file
    for here, there in winner.others.items():
        shutil.copyfile(here, there)
    write_whole(winner.file, winner.source)
    if to in ("canary", "active"):
        point(settings, winner.template.id, winner.file, winner.template.version, to)
    decision = LoggedDecision(winner.template.id, winner.template.version, to, reason, by)
    log_decision(settings.data_folder, decision)
    return winner.file


def point(settings: Settings, id: str, file: Path, version: int, to: str) -> None:
    """Set the pointer of a template to this version.

    If `to` is `canary`, only the share `[jobs] share` of the requests gets this version, otherwise all requests.
    """
    root = library_root(settings, file)
    before = _before(root, id, version)

    def change(now: Pointer) -> Pointer:
        if to == "canary":
            return replace(now, canary=version, share=settings.jobs.share)
        return Pointer(production=version, previous=now.production or before)

    change_pointer(root, id, change)


def take_back(settings: Settings, id: str, file: Path) -> None:
    """End the canary of a template."""
    root = library_root(settings, file)
    end_canary(load_library([root])[0], [root], id)


def library_root(settings: Settings, file: Path) -> Path:
    """Return the template folder that contains a file. The folder also has the pointers.

    Raises `JobFailed` if no template folder contains the file.
    """
    for folder in settings.prompt.templates:
        root = (settings.root / folder).resolve()
        if file.resolve().is_relative_to(root):
            return root
    raise JobFailed(f"{file} is in none of the folders of [prompt] templates")


def _before(root: Path, id: str, version: int) -> int:
    """Return the version that requests get if no pointer is set: the newest active version below `version`, or 0 if
    there is none."""
    library, _ = load_library([root])
    below = [
        other.version for other in library.templates if other.id == id and other.active and other.version < version
    ]
    return max(below, default=0)

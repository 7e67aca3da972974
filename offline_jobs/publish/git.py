"""Commits files to a new git branch without touching the work tree, the index or the checked-out branch."""

import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from offline_jobs.errors import JobFailed

AUTHOR = {
    "GIT_AUTHOR_NAME": "foreword jobs",
    "GIT_AUTHOR_EMAIL": "jobs@foreword.invalid",
    "GIT_COMMITTER_NAME": "foreword jobs",
    "GIT_COMMITTER_EMAIL": "jobs@foreword.invalid",
}


def commit(folder: Path, files: Mapping[Path, str], branch: str, message: str) -> str:
    """Create a branch from HEAD with one commit that writes these files. Returns the commit's id.

    Raises `JobFailed` if git is not installed or reports an error, for example because the branch exists.
    """
    top = Path(_git(folder, "rev-parse", "--show-toplevel"))
    head = _git(folder, "rev-parse", "HEAD")
    with tempfile.TemporaryDirectory(prefix="foreword-git-") as scratch:
        own = {**os.environ, **AUTHOR, "GIT_INDEX_FILE": str(Path(scratch) / "index")}
        _git(top, "read-tree", head, env=own)
        for path, text in files.items():
            blob = _git(top, "hash-object", "-w", "--stdin", env=own, text=text)
            inside = path.resolve().relative_to(top.resolve())
            _git(top, "update-index", "--add", "--cacheinfo", f"100644,{blob},{inside}", env=own)
        tree = _git(top, "write-tree", env=own)
        made = _git(top, "commit-tree", tree, "-p", head, "-m", message, env=own)
    _git(top, "update-ref", f"refs/heads/{branch}", made, "0" * 40)
    return made


def _git(folder: Path, *words: str, env: Mapping[str, str] | None = None, text: str = "") -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], input=text, capture_output=True, text=True, env=env, check=True
        )
    except FileNotFoundError as error:
        raise JobFailed("git is not installed") from error
    except subprocess.CalledProcessError as error:
        raise JobFailed(f"git {words[0]}: {error.stderr.strip()}") from error
    return done.stdout.strip()

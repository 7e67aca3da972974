"""The pages for people, as a browser shows them."""

import subprocess
from pathlib import Path

import pytest

from tests.doubles.process import running

pytestmark = pytest.mark.long


def seen(url: str, profile: Path) -> str:
    """The page's content after the browser has read it."""
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        f"--user-data-dir={profile}",
    ]
    return subprocess.run(
        ["chromium", *flags, "--dump-dom", url], capture_output=True, text=True, check=True, timeout=120
    ).stdout


def test_the_pages_open_without_scripts_and_name_their_purpose(tmp_path: Path) -> None:
    config = '[backends.fake]\nkind = "scripted"\n[prompt]\ntemplates = []\n'
    with running(tmp_path, config) as gateway:
        for page, words in (("templates.html", "Templates"), ("compare.html", "Compare")):
            shown = seen(f"{gateway.url}/v1/foreword/{page}", tmp_path / "profile")
            assert words.lower() in shown.lower()
            assert "<script" not in shown

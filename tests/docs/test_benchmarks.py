"""Every script of `benchmarks/` starts: an import that no longer exists shows here, not in the minute it is needed."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def test_every_benchmark_explains_itself() -> None:
    scripts = sorted((ROOT / "benchmarks").glob("*.py"))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        silent = {script.name: said for script, said in zip(scripts, pool.map(_failure, scripts), strict=True) if said}
    assert scripts
    assert not silent


def _failure(script: Path) -> str:
    """The end of what a script wrote if it did not print its usage; "" otherwise."""
    run = subprocess.run(
        [sys.executable, str(script), "--help"], env=ENVIRONMENT, capture_output=True, text=True, timeout=120, cwd=ROOT
    )
    is_usage = run.returncode == 0 and "usage:" in run.stdout.lower()
    return "" if is_usage else (run.stdout + run.stderr)[-500:] or f"status {run.returncode}"

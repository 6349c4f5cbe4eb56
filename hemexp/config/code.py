"""The source files of the user's own code that a configuration names."""

import ast
import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, resolve_name
from pathlib import Path
from pkgutil import resolve_name as find_object

from hemexp.errors import UserError

Code = dict[str, str]  # the digest of each source file, by the name of its module
# installed with hemexp or for its models: another version of them does not make another run
_LIBRARIES = sys.stdlib_module_names | {
    "hydra", "omegaconf", "torch", "torchmetrics", "lightning", "lightning_fabric", "numpy",
    "scipy", "pandas", "sklearn", "skops", "statsmodels", "xgboost", "lightgbm", "catboost",
}  # fmt: skip
_OWN = {"hemexp", "hydra_plugins", "__main__"}
_STANDARD = Path(ast.__file__).parent
_INSTALLED = {"site-packages", "dist-packages"}
_MOST_SHOWN = 3
_loaded: dict[int, tuple[ModuleSpec, str, tuple[str, ...]]] = {}  # what was read, by id of the module's specification


def read_code(names: Iterable[str]) -> Code:
    """Return the digest of each source file of the user's code, by module.

    The files are those of the named modules, and of the modules that they import, as their text says: of the same
    package, or outside of the installed packages. The libraries that hemexp uses are left out. The place of a file
    does not count. A module that is loaded keeps the digest that it had when it was first read.

    Args:
        names: dotted names of classes, functions and modules.
    """
    given = [name for name in names if not _is_library(name)]
    return _follow([*given, *filter(None, map(_find_module, given))])


def check_code(code: Mapping[str, str]) -> None:
    """Refuse code that was edited since another process read it.

    Args:
        code: of the process that started this one.

    Raises:
        UserError: names the files.
    """
    if edits := find_edits(code):
        raise UserError(
            f"{edits} while the command was running; rule: all fits of a command are of one version of the code; start "
            "it again with another output_dir or hydra.sweep.dir, or undo the edit"
        )


def find_edits(code: Mapping[str, str]) -> str:
    """Return which files of some code were edited since it was read; empty if none was."""
    return describe_edits(code, _follow(code))


def describe_edits(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Return which files were edited, such as ``nets.py was edited``; empty if none was."""
    names = [_get_file(name) for name in sorted(before.keys() & now.keys()) if before[name] != now[name]]
    if len(names) > _MOST_SHOWN:
        names = [*names[:_MOST_SHOWN], f"{len(names) - _MOST_SHOWN} more files"]
    *first, last = names or [""]
    text = f"{', '.join(first)} and {last}" if first else last
    return text and f"{text} {'were' if first else 'was'} edited"


def _follow(names: Iterable[str]) -> Code:
    """Read the modules in the given names, and what they import."""
    waiting = sorted({*names})
    packages, seen, code = {_get_package(name) for name in waiting}, set[str](), Code()
    while waiting:
        parts = waiting.pop().split(".")
        for end in range(1, len(parts) + 1):  # Python runs the packages above a module, too
            name = ".".join(parts[:end])
            spec = None if name in seen else _find(name)
            seen.add(name)
            if spec is None or not spec.has_location or spec.origin is None or not Path(spec.origin).is_file():
                continue
            if parts[0] in packages or not _INSTALLED & {*Path(spec.origin).parts}:
                code[name], imported = _read(spec)
                waiting += [each for each in imported if not _is_library(each)]
    return code


def _read(spec: ModuleSpec) -> tuple[str, tuple[str, ...]]:
    """Return the digest of a module's file, and the names that it imports; a compiled module tells none."""
    if id(spec) in _loaded:
        return _loaded[id(spec)][1:]
    content, imported = Path(str(spec.origin)).read_bytes(), tuple[str, ...]()
    with suppress(SyntaxError, ValueError):
        imported = tuple(_list_imports(ast.parse(content), spec))
    digest = hashlib.sha256(content).hexdigest()[:16]
    if getattr(sys.modules.get(spec.name), "__spec__", None) is spec:  # it gets another one when it is loaded again
        _loaded[id(spec)] = spec, digest, imported
    return digest, imported


def _list_imports(tree: ast.AST, spec: ModuleSpec) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = spec.name if spec.submodule_search_locations is not None else str(spec.parent)
            with suppress(ImportError):  # above the package
                module = resolve_name("." * node.level + (node.module or ""), package)
                yield from (f"{module}.{each.name}" for each in node.names)


def _find(name: str) -> ModuleSpec | None:
    """Return where a module is, without importing it; None for another name."""
    found: ModuleSpec | None = getattr(sys.modules.get(name), "__spec__", None)
    if found is not None:
        return found
    parent = name.rpartition(".")[0]
    if not parent:
        with suppress(ImportError, ValueError):
            return find_spec(name)
        return None
    above = _find(parent)
    places = above.submodule_search_locations if above else None
    return None if places is None else PathFinder.find_spec(name, places)


def _find_module(name: str) -> str:
    """Return the module that defines an object, which may be another one than the name says."""
    with suppress(Exception):  # of the user's code
        return str(getattr(find_object(name), "__module__", None) or "")
    return ""


def _get_file(name: str) -> str:
    spec = _find(name)
    path = Path(str(spec.origin)) if spec else Path(name)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _get_package(name: str) -> str:
    return name.partition(".")[0]


def _is_library(name: str) -> bool:
    """Return whether a name is of Python or of a library of hemexp, and not of a file of the user with such a name."""
    package = _get_package(name)
    if package in _OWN or package not in _LIBRARIES:
        return package in _OWN
    spec = _find(package)
    path = Path(str(spec.origin)) if spec and spec.has_location else None
    return path is None or bool(_INSTALLED & {*path.parts}) or path.is_relative_to(_STANDARD)

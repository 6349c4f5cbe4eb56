"""Code of other packages: import it where the user asks for it, and never because a file names it."""

import importlib
import importlib.metadata
import os
import sys
import traceback
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from hemexp.config.registry import MODELS
from hemexp.errors import UserError

FOLDERS = "HEMEXP_FOLDERS"  # environment variable: the folders of the callers, in which their modules are
ENTRY_POINTS = "hemexp.models"  # the group in which an installed package names the modules that register its models
_RULE = "rule: a module in the current folder, on PYTHONPATH, or installed"
_inherited = [*filter(None, os.environ.get(FOLDERS, "").split(os.pathsep))]  # of the command that started this process
_trusted: set[str] = set()  # modules and other dotted names that the user has given, and installed plugins


def locate(name: str, key: str) -> Any:
    """Return an object by its dotted name, which the user has given.

    Args:
        name: such as ``my_package.MyNet``.
        key: the configuration key that holds the name, for messages.

    Raises:
        UserError: there is no such module, or it does not have this object.
    """
    module_name, _, attribute = name.replace(":", ".").rpartition(".")
    if not module_name or attribute == "py" or {*"/\\:"} & {*name}:
        file = _read_path(name) if attribute in {"py", name} else _read_path(module_name)
        like = f"{file}.{'NAME' if attribute in {'py', name} else attribute}" if file else "my_package.MyNet"
        raise UserError(f"{key}={name}: must be a dotted name, such as {like}")
    module = _import(module_name, f"{key}={name}")
    if not callable(getattr(module, attribute, None)):
        similar = get_close_matches(attribute, [each for each in vars(module) if callable(getattr(module, each))], n=1)
        advice = f"did you mean {module_name}.{similar[0]}?" if similar else f"it is the file {module.__file__}"
        raise UserError(f"{key}={name}: the module {module_name} has no class or function {attribute}; {advice}")
    return getattr(module, attribute)


def import_plugins(names: Iterable[str]) -> None:
    """Import the modules of ``plugins``.

    Raises:
        UserError: a module cannot be imported.
    """
    for name in names:
        if name.endswith(".py") or {*"/\\:"} & {*name}:
            found = _read_path(name)
            advice = f"give plugins=[{found}]" if found else "start the command in the folder of the file"
            raise UserError(f"plugins={name}: must be the name of a module, not of a file; {advice}")
        _import(name, f"plugins={name}")
        trust(name)


def import_installed_plugins() -> None:
    """Import the modules that installed packages name as an entry point of `ENTRY_POINTS`.

    One that cannot be imported costs a warning: the command may not need it.
    """
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        try:
            _import(entry.module, f"entry point {entry.name} of {entry.dist.name if entry.dist else 'a package'}")
            trust(entry.module)
        except UserError as error:
            print(f"warning: {error}", file=sys.stderr)


def import_typed_plugins(arguments: Iterable[str]) -> None:
    """Import the modules of ``plugins=...`` before Hydra composes, because they register what it needs.

    Args:
        arguments: of the command line.

    Raises:
        UserError: a module cannot be imported, or the value is not a list of names.
    """
    for argument in arguments:
        name, _, value = argument.lstrip("+").partition("=")
        if name == "plugins":
            inside = value[1:-1] if value.startswith("[") and value.endswith("]") else value
            texts = inside.split(",") if inside else []
            if {*"[]{}"} & {*inside} or not all(map(str.strip, texts)):
                raise UserError(f"{argument}: must be a list of modules, such as plugins=[my_module]")
            import_plugins(text.strip(" '\"") for text in texts)


def trust(name: str) -> None:
    """Remember a module or another dotted name that the user has given."""
    _trusted.add(name)


def check_trust(name: str, what: str, is_part: bool = False) -> None:
    """Refuse a dotted name that a file holds, unless the user has named it, or a package that holds it.

    Args:
        name: such as ``my_package.MyNet``.
        what: needs it, for the message.
        is_part: whether it is a part of a fitted classifier, where the classes of scikit-learn are trusted, too. Its
            functions are not, nor anything of NumPy: some of them run text as a program.

    Raises:
        UserError: names the setting that allows it.
    """
    parts = name.split(".")
    if is_part and parts[0] == "sklearn":
        found = locate(name, what)
        # a module of scikit-learn also holds classes of other packages, which it imports
        if isinstance(found, type) and found.__module__.partition(".")[0] in {"sklearn", parts[-2]}:
            return
    known = _trusted | {entry.plugin for entry in MODELS.values() if entry.plugin}
    if not any(".".join(parts[:end]) in known for end in range(1, len(parts) + 1)):
        rule = f"if you trust this code, add plugins=[{parts[0]}]"
        if is_part and parts[0] in {"sklearn", "numpy", "scipy"}:
            rule = "no classifier needs it, and it could run a program: do not use this file"
        raise UserError(f"{what} needs {name}, which is not a part of hemexp; {rule}")


def search_caller_folder() -> None:
    """Let Python search the folder of the caller last, in this process and in those that it starts.

    The variable `FOLDERS` tells them, because PYTHONPATH comes before the modules of Python itself.
    """
    _search(Path.cwd())
    os.environ[FOLDERS] = os.pathsep.join(dict.fromkeys([*_inherited, str(Path.cwd())]))


def _search(*folders: Path | str) -> None:
    sys.path += [str(folder) for folder in folders if str(folder) not in sys.path]


def _import(name: str, where: str) -> ModuleType:
    search_caller_folder()
    try:
        return importlib.import_module(name)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        missing = getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and f"{name}.".startswith(f"{missing}."):
            similar = get_close_matches(name, [path.stem for path in Path.cwd().glob("*.py")], n=1)
            advice = f"did you mean {similar[0]}?" if similar else _RULE
            raise UserError(f"{where}: cannot be imported: there is no module {missing}; {advice}") from error
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        kinds = [frame.f_locals["cls"].__name__ for frame in frames if frame.f_code.co_name == "_process_class"]
        place = f" in the dataclass {kinds[-1]}" if kinds else ""
        problem = f"{type(error).__name__}{place}: {error}"
        raise UserError(f"{where}: cannot be imported: {problem}") from error


def _read_path(text: str) -> str:
    """Return the dotted name of a file or folder below the current folder; empty if there is none."""
    path = Path(os.path.relpath(text.replace("\\", "/")))
    path = path if path.suffix == ".py" else path.with_name(f"{path.name}.py")
    exists = path.is_file() or path.with_suffix("").is_dir()
    return ".".join(path.with_suffix("").parts) if exists and ".." not in path.parts else ""


_search(*_inherited)  # now, because a started process may read objects of the user's modules before it runs a command

"""From the command line to a job: Hydra composes, the configuration is checked, then the job is imported and run.

Exit codes: 0 done; 2 the input or the configuration is wrong (a message, no traceback); 1 anything else.
"""

import difflib
import logging
import os
import re
import sys
from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hemexp import __version__
from hemexp.config import PredictConfig, ReportConfig, TrainConfig, config_hash
from hemexp.config.compose import CONFIG_DIR, SCHEMAS, checked, list_keys, register_schemas
from hemexp.errors import RESUMES, CheckFailed, Interrupted, JobFailed, UserError
from hemexp.files.run_directory import OutputDirectory, RunDirectory
from hydra_plugins.hemexp_launcher import HemexpLauncher, HemexpSweeper

COMMANDS = {
    "train": "train and evaluate a model on a cohort, or run a sweep",
    "prepare": "read, check, merge and label a cohort",
    "predict": "predict for the patients of a cohort with a finished run",
    "report": "write a page about a run or a sweep",
}
PATH_KEYS = ("data.root", "run_dir", "sweep_dir", "output_dir", "hydra.sweep.dir", "hydra.run.dir")

log = logging.getLogger(__name__)


class JobExit(SystemExit):
    """A single job ended with an error that is already in its log."""


def main() -> NoReturn:
    """Run ``hemexp COMMAND ...``, the installed form of ``python COMMAND.py ...``; exit with its code."""
    name, *arguments = sys.argv[1:] or ["--help"]
    sys.argv[0] = "hemexp"
    if name == "-sc":  # shell completion is for the whole program: the command is in the line to complete
        os.environ["COMP_LINE"] = line = os.environ.get("COMP_LINE", "").partition(" ")[2]
        name, arguments = (line.split() or ["train"])[0], sys.argv[1:]
        if name not in COMMANDS:
            print(*COMMANDS)
            sys.exit(0)
    if name in {"-h", "--help"}:
        lines = [f"  hemexp {name:8} {text}" for name, text in COMMANDS.items()]
        print(
            "\n".join(
                ["usage: hemexp COMMAND [KEY=VALUE ...]", "", *lines, "", "hemexp COMMAND --help lists the keys."]
            )
        )
        sys.exit(0)
    if name == "--version":
        print(f"hemexp {__version__}")
        sys.exit(0)
    if name not in COMMANDS:
        similar = difflib.get_close_matches(name.removesuffix(".py"), COMMANDS, n=1)
        advice = f"did you mean hemexp {similar[0]}?" if similar else f"the commands are {', '.join(COMMANDS)}"
        print(f"error: {name}: is not a command of hemexp; {advice}", file=sys.stderr)
        sys.exit(2)
    sys.argv[1:] = arguments
    command(name)


def command(name: str) -> NoReturn:
    """Run the command `name` (train, prepare, predict, report) with this process's arguments; exit with its code."""
    register_schemas()
    sys.argv[1:] = quote_paths(sys.argv[1:])
    for plugin in (HemexpLauncher, HemexpSweeper):  # which Hydra does not find in a source folder by itself
        Plugins.instance().register(plugin)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing and exiting with 1
    app = hydra.main(config_path=str(CONFIG_DIR), config_name=name, version_base="1.3")(run_job)
    try:
        app()
    except JobExit as end:
        sys.exit(end.code)
    except JobFailed:
        sys.exit(1)
    except (UserError, HydraException, OmegaConfBaseException, ValueError) as error:  # ValueError: clashing Hydra flags
        _exit_with_error(error, SCHEMAS[name])
    except SystemExit as stop:
        sys.exit(2 if stop.code == 1 else stop.code)  # jobs never exit with 1 by themselves: Hydra complained
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(1)
    sys.exit(0)


def quote_paths(arguments: list[str]) -> list[str]:
    """Quote folder names for Hydra, whose grammar knows no Chinese characters, parentheses and the like; expand ``~``.

    In a sweep a comma stands between two folders to go through, except in the sweep's own place.
    """
    sweep = bool({"-m", "--multirun"} & set(arguments))
    quoted = []
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key in PATH_KEYS:
            names = value.split(",") if sweep and not key.startswith("hydra.") else [value]
            argument = f"{key}={','.join(map(_quote, names))}"
        quoted.append(argument)
    return quoted


def _quote(name: str) -> str:
    if name.startswith("~"):
        name = os.path.expanduser(name)  # noqa: PTH111 - leaves an unknown ~user as it is
    if re.fullmatch(r"[\w/\\.:~%@+$ -]*", name, flags=re.ASCII) or name.startswith(("'", '"')):
        return name
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', name)  # as Hydra unquotes: backslashes count before a quote
    return '"' + re.sub(r"(\\+)$", r"\1\1", escaped) + '"'


def run_job(config: DictConfig) -> Any:
    """Run one composed job in its output directory; what goes wrong is in its log.

    Raises:
        JobExit: a job alone failed; with code 2 for a `UserError`, 1 for anything else.
        JobFailed: a job of a sweep failed.
        KeyboardInterrupt: a job of a sweep was interrupted, and the sweep with it.
    """
    cause: BaseException
    settings = HydraConfig.get()
    name, directory = settings.job.name, Path(settings.runtime.output_dir)
    try:
        cfg = _checked_job(config, name, directory)
        job = import_module(f"hemexp.commands.{name}")
        return getattr(job, name)(cfg, directory)
    except UserError as error:
        log.error("error: %s", error)
        cause, code = error, 2
    except CheckFailed as error:
        log.error("error: %s", error)
        cause, code = error, 1
    except (Interrupted, KeyboardInterrupt) as stop:
        if settings.mode == RunMode.MULTIRUN:  # of Hydra's own launcher, which would begin the next job
            log.error("%s", str(stop).split(RESUMES)[0] or "interrupted")
            raise KeyboardInterrupt from stop
        log.error("%s", str(stop) or "interrupted before the work began; nothing is lost")
        cause, code = stop, 1
    except Exception as error:
        log.exception("%s: %s", type(error).__name__, error)
        cause, code = error, 1
    finally:
        OutputDirectory(directory).release()
    if settings.mode == RunMode.RUN:
        raise JobExit(code) from cause
    raise JobFailed from cause


def _checked_job(config: DictConfig, name: str, directory: Path) -> Any:
    """Check a job's config; in a sweep nobody has yet, and its directory must say that it failed."""
    try:
        return checked(config, name)
    except UserError as error:
        RunDirectory(directory).fail("failed", str(error))
        raise


class PreflightCheck(Callback):
    """Looks before Hydra writes: the whole configuration, the device and the output directory."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check a single run; exit 2 on a mistake, 0 where the run is done already."""
        _or_exit(lambda: _check_run(config))

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check what all jobs of a sweep share, and its directory."""
        _or_exit(lambda: _check_sweep(config))


def _check_run(config: DictConfig) -> None:
    cfg = checked(config, config.hydra.job.name)
    directory = Path(OmegaConf.select(config, "hydra.run.dir"))
    if isinstance(cfg, TrainConfig):
        run = RunDirectory(directory)
        if run.open(cfg) == "done":
            print(f"{directory}: already done (config_hash {config_hash(cfg)}); nothing was read or rewritten")
            sys.exit(0)
    else:
        place = directory.resolve()
        root = None if isinstance(cfg, ReportConfig) else cfg.data.root
        if root is not None and Path(root) == place:
            raise UserError(f"output_dir={directory}: is also data.root; write somewhere else")
        read = cfg.place if isinstance(cfg, ReportConfig) else cfg.run_dir if isinstance(cfg, PredictConfig) else None
        if read is not None and place.is_relative_to(Path(read).resolve()):
            raise UserError(f"output_dir={directory}: lies in {read}, which is only read")
        OutputDirectory(directory).open_for(config.hydra.job.name)


def _check_sweep(config: DictConfig) -> None:
    given = [override for override in config.hydra.overrides.task if override.lstrip("+").startswith("output_dir=")]
    if given:
        raise UserError(f"{given[0]}: a sweep's place is hydra.sweep.dir=DIR, output_dir is for a single run")
    place = [each for each in config.hydra.overrides.hydra if each.lstrip("+").startswith("hydra.sweep.subdir=")]
    if place:
        raise UserError(f"{place[0]}: the jobs of a sweep lie in hydra.sweep.dir under their numbers; leave it out")
    if config.hydra.job.name != "train":  # whose sweeper checks every job
        checked(config, config.hydra.job.name)


def _or_exit(check: Callable[[], None]) -> None:
    """Run a check inside a Hydra callback, where only SystemExit gets through."""
    try:
        check()
    except (UserError, OmegaConfBaseException) as error:
        _exit_with_error(error)


def _exit_with_error(error: Exception, schema: type[Any] | None = None) -> NoReturn:
    """Print what is wrong, without the advice and the class names that mean nothing to a user, and exit with 2."""
    cause = str(error.__cause__) if isinstance(error.__cause__, OmegaConfBaseException) else ""
    lines = [line for line in f"{error}\n{cause}".splitlines() if line.strip()]
    lines = [
        line for line in lines if not line.startswith(("To append to", "    ", "Config search path", "\tprovider="))
    ]
    bare = (
        re.search(r"(?:Error parsing override '|LexerNoViableAltException: )([^='\n]+)'?$", lines[0]) if lines else None
    )
    if bare and schema is not None:
        key = _key_of(bare[1], schema)
        lines = [
            f"{bare[1]}: settings are written KEY=VALUE; " + (f"did you mean {key}={bare[1]}?" if key else "see --help")
        ]
    unknown = re.search(r"Could not override '([\w.]+)'", lines[0]) if lines else None
    if unknown and schema is not None:
        known = list_keys(schema)
        similar = get_close_matches(unknown[1], known, n=3)
        if unknown[1] in known:  # of the usual choice
            lines.append(f"{unknown[1]} is a key of another choice of {unknown[1].partition('.')[0]}=")
        else:
            lines.append(f"did you mean {' or '.join(similar)}?" if similar else "all keys: --help")
    print("error: " + "\n".join(lines), file=sys.stderr)
    sys.exit(2)


def _key_of(place: str, schema: type[Any]) -> str:
    """Return the key that a directory was meant for, by what it holds; nothing for what is no directory."""
    if schema is ReportConfig:
        return "sweep_dir" if Path(place, "leaderboard.csv").is_file() else "run_dir"
    if schema is PredictConfig and not (Path(place).is_dir() and not Path(place, "result.json").is_file()):
        return "run_dir"
    return "data.root" if Path(place).is_dir() else ""

"""Entry point of the commands: compose the configuration with Hydra, check it, then import and run the job.

Exit codes: 0 done; 2 the input or the configuration is wrong (a message, no traceback); 1 anything else.
"""

import difflib
import logging
import os
import sys
from collections.abc import Callable, Sequence
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
from hemexp.config import PredictConfig, PrivacyConfig, ReportConfig, TrainConfig, UpdateConfig, config_hash
from hemexp.config.compose import CONFIG_DIR, SCHEMAS, checked, import_models, quote_paths, register_schemas
from hemexp.config.hydra_settings import check_hydra
from hemexp.config.mistakes import explain_error, find_mistake
from hemexp.errors import RESUMES, CheckFailed, Interrupted, JobFailed, SystemFailure, UserError
from hemexp.process import describe_error, find_system_error
from hydra_plugins.hemexp_launcher import HemexpLauncher, HemexpSweeper

_OTHER_WORDS = {"fit": "train", "test": "predict", "eval": "predict", "validate": "predict", "sweep": "train -m"}
COMMANDS = {
    "train": "train and evaluate a model on a cohort, or run a sweep",
    "prepare": "read, check, merge and label a cohort",
    "predict": "predict for the patients of a cohort with a finished run",
    "update": "update a model for another hospital, and validate the update there",
    "report": "write a page about a run or a sweep",
    "audit": "run flawed protocols beside the honest one, and show which mistake makes which number",
}

log = logging.getLogger(__name__)


class JobExit(SystemExit):
    """The end of a single job with an error that its log already holds."""


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
        usage, advice = "usage: hemexp COMMAND [KEY=VALUE ...]", "hemexp COMMAND --help lists the keys."
        print(usage, "", *lines, "", advice, sep="\n")
        sys.exit(0)
    if name == "--version":
        print(f"hemexp {__version__}")
        sys.exit(0)
    if name not in COMMANDS:
        similar = difflib.get_close_matches(name.removesuffix(".py"), COMMANDS, n=1)
        similar = [_OTHER_WORDS[name]] if name in _OTHER_WORDS else similar
        advice = f"did you mean hemexp {similar[0]}?" if similar else f"the commands are {', '.join(COMMANDS)}"
        print(f"error: {name}: is not a command of hemexp; {advice}", file=sys.stderr)
        sys.exit(2)
    sys.argv[1:] = arguments
    command(name)


def command(name: str) -> NoReturn:
    """Run a command with the arguments of this process and exit with its code.

    Args:
        name: train, prepare, predict, update, report or audit.
    """
    register_schemas()
    try:
        import_models(name, sys.argv[1:])
    except UserError as error:
        _exit_with_error(error)
    for argument in sys.argv[1:]:
        if argument.lstrip("+~").startswith("hydra.callbacks"):  # they check the other settings
            print(f"error: {argument}: cannot be set; Hydra's callbacks check the configuration", file=sys.stderr)
            sys.exit(2)
    typed = sys.argv[1:]
    if "--version" in typed:
        print(f"hemexp {__version__}")
        sys.exit(0)
    if mistake := find_mistake(typed, SCHEMAS[name]):
        print(f"error: {mistake}", file=sys.stderr)
        sys.exit(2)
    settings_last = sorted(sys.argv[1:], key=lambda text: "=" in text and not text.startswith("-"))
    sys.argv[1:] = quote_paths(settings_last)  # argparse refuses settings before and after an option
    for plugin in (HemexpLauncher, HemexpSweeper):  # Hydra does not find them in a source folder
        Plugins.instance().register(plugin)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing and exiting with 1
    app = hydra.main(config_path=str(CONFIG_DIR), config_name=name, version_base="1.3")(run_job)
    try:
        app()
    except JobExit as end:
        sys.exit(end.code)
    except JobFailed:
        sys.exit(1)
    except (UserError, HydraException, OmegaConfBaseException, ValueError, OverflowError) as error:  # of Hydra
        _exit_with_error(error, SCHEMAS[name], typed)
    except SystemExit as stop:
        sys.exit(2 if stop.code == 1 else stop.code)  # code 1 is an error of Hydra here: jobs raise JobExit
    sys.exit(0)


def run_job(config: DictConfig) -> Any:
    """Run one composed job in its output directory and write its errors to its log.

    Raises:
        JobExit: a single job failed; the code is 2 for a `UserError`, 1 for any other error. The log file holds the
            traceback.
        JobFailed: a job of a sweep failed.
        KeyboardInterrupt: a job of a sweep was interrupted; the sweep ends too.
    """
    from hemexp.files.run_directory import OutputDirectory, RunDirectory  # only here: --help does not need it

    cause: BaseException
    settings = HydraConfig.get()
    name, directory = settings.job.name, Path(settings.runtime.output_dir)
    try:
        try:
            cfg = checked(config, name)
        except UserError as error:
            RunDirectory(directory).fail("failed", str(error))
            raise
        elsewhere = settings.mode == RunMode.RUN and isinstance(cfg, TrainConfig) and cfg.where.name != "local"
        if isinstance(cfg, PredictConfig) and cfg.patient:  # without PyTorch and pandas
            return import_module("hemexp.commands.one_patient").predict_patient(cfg, directory)
        job = import_module("hemexp.sweep.run_elsewhere" if elsewhere else f"hemexp.commands.{name}")
        return getattr(job, name)(cfg, directory)
    except (UserError, CheckFailed, SystemFailure) as error:
        log.error("error: %s", error)
        cause, code = error, 2 if isinstance(error, UserError) else 1
    except (Interrupted, KeyboardInterrupt) as stop:
        if settings.mode == RunMode.MULTIRUN:  # else Hydra's launcher starts the next job
            log.error("%s", str(stop).split(RESUMES)[0] or "interrupted")
            raise KeyboardInterrupt from stop
        log.error("%s", str(stop) or "interrupted; the same command runs again from the start")
        cause, code = stop, 1
    except Exception as error:
        log.exception("error: %s", describe_error(error))
        if find_system_error(error) is None:
            log.error("this is a defect of hemexp, please report it; the traceback is in %s", directory / f"{name}.log")
        cause, code = error, 1
    finally:
        OutputDirectory(directory).release()
    if settings.mode == RunMode.RUN:
        raise JobExit(code) from cause
    raise JobFailed from cause


class PreflightCheck(Callback):
    """Check the configuration, the device and the output directory before Hydra writes any file."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check a single run; exit with 2 after a mistake, with 0 if the run is already done."""
        _or_exit(lambda: _check_run(config))

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check the settings that all jobs of a sweep share, and the directory of the sweep."""
        _or_exit(lambda: _check_sweep(config))


def _check_run(config: DictConfig) -> None:
    check_hydra(config)
    cfg = checked(config, config.hydra.job.name)
    from hemexp.files.run_directory import OutputDirectory, RunDirectory  # only here: a wrong key does not need it

    directory = Path(OmegaConf.select(config, "hydra.run.dir"))
    source = cfg.place if isinstance(cfg, ReportConfig) else getattr(cfg, "run_dir", None)
    if source is not None and directory.resolve().is_relative_to(Path(source).resolve()):
        raise UserError(f"output_dir={directory}: lies in {source}, which is only read; choose another directory")
    if isinstance(cfg, TrainConfig | UpdateConfig):
        if isinstance(cfg, TrainConfig) and getattr(cfg.model, "init_from", None) is not None:
            import_module("hemexp.models.first_weights").read_first_weights(cfg.model)  # only then it needs PyTorch
        if RunDirectory(directory).open(cfg) == "done":
            print(f"{directory}: already done (config_hash {config_hash(cfg)}); no file was read or written")
            sys.exit(0)
        return
    if not isinstance(cfg, ReportConfig) and cfg.data.root is not None and Path(cfg.data.root) == directory.resolve():
        raise UserError(f"output_dir={directory}: is also data.root; choose another directory")
    OutputDirectory(directory).open_for(config.hydra.job.name)


def _check_sweep(config: DictConfig) -> None:
    check_hydra(config)
    if "privacy" in config:
        PrivacyConfig(config.privacy.pseudonymize).keep_outside("hydra.sweep.dir", config.hydra.sweep.dir)
    if config.hydra.job.name != "train":  # the sweeper of train.py checks every job
        checked(config, config.hydra.job.name)
        return
    default: Any = OmegaConf.to_container(OmegaConf.load(CONFIG_DIR / "train.yaml"), resolve=False)
    given: Any = OmegaConf.to_container(config, resolve=False)
    if given["output_dir"] != default["output_dir"]:  # an experiment may set it, too
        directory = given["output_dir"]
        raise UserError(f"output_dir={directory}: is for a single run; the directory of a sweep is hydra.sweep.dir=DIR")


def _or_exit(check: Callable[[], None]) -> None:
    """Run a check in a callback of Hydra, where Hydra catches all errors except SystemExit."""
    try:
        check()
    except (UserError, OmegaConfBaseException) as error:
        _exit_with_error(error, typed=sys.argv[1:])
    except OSError as error:  # a full disk, a lost drive
        print(f"error: {describe_error(error)}", file=sys.stderr)
        raise JobExit(1) from None


def _exit_with_error(error: Exception, schema: type[Any] | None = None, typed: Sequence[str] = ()) -> NoReturn:
    print(f"error: {explain_error(error, schema, typed)}", file=sys.stderr)
    sys.exit(2)

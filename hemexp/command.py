"""From the command line to a job: Hydra composes, the configuration is checked, then the job is imported and run.

Exit codes: 0 done; 2 the input or the configuration is wrong (a message, no traceback); 1 anything else.
"""

import logging
import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hemexp.config import CONFIG_DIR, PredictConfig, PrepareConfig, TrainConfig, config_hash, register_schemas, typed
from hemexp.errors import Interrupted, UserError
from hemexp.run_directory import OutputDirectory, RunDirectory

SCHEMAS: dict[str, type[Any]] = {"train": TrainConfig, "prepare": PrepareConfig, "predict": PredictConfig}

log = logging.getLogger(__name__)


class JobFailed(Exception):
    """A job of a sweep ended with an error that is already in its log; the others go on."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class JobExit(SystemExit):
    """A single job ended with an error that is already in its log."""


def command(name: str) -> NoReturn:
    """Run the command `name` (train, prepare or predict) with the arguments of this process, and exit with its code."""
    register_schemas()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing and exiting with 1
    app = hydra.main(config_path=str(CONFIG_DIR), config_name=name, version_base="1.3")(run_job)
    try:
        app()
    except (JobFailed, JobExit) as end:
        sys.exit(end.code)
    except (UserError, HydraException, OmegaConfBaseException, ValueError) as error:  # ValueError: clashing Hydra flags
        _refuse(error)
    except SystemExit as stop:
        sys.exit(2 if stop.code == 1 else stop.code)  # jobs never exit with 1 by themselves: Hydra complained
    except KeyboardInterrupt:
        sys.exit(1)
    sys.exit(0)


def run_job(config: DictConfig) -> Any:
    """Run one composed job in its output directory; what goes wrong is in its log.

    Raises:
        JobExit, JobFailed: alone or in a sweep, with code 2 for a `UserError` and 1 for anything else.
    """
    cause: Exception
    settings = HydraConfig.get()
    name, directory = settings.job.name, Path(settings.runtime.output_dir)
    try:
        cfg = checked(config, name)
        job = import_module(f"hemexp.jobs.{name}")
        _one_handler_each()
        return getattr(job, name)(cfg, directory)
    except UserError as error:
        log.error("error: %s", error)
        cause, code = error, 2
    except Interrupted as stop:
        log.error("%s", stop)
        cause, code = stop, 1
    except Exception as error:
        log.exception("%s: %s", type(error).__name__, error)
        cause, code = error, 1
    finally:
        OutputDirectory(directory).release()
    raise (JobExit if settings.mode == RunMode.RUN else JobFailed)(code) from cause


class Guard(Callback):
    """Looks before Hydra writes: the whole configuration, the device and the output directory."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check a single run; exit 2 on a mistake, 0 where the run is done already."""
        _or_exit(lambda: _check_run(config))

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check what all jobs of a sweep share, and its directory."""
        _or_exit(lambda: _check_sweep(config))


def checked(config: DictConfig, name: str) -> Any:
    """Return a composed config as an object of the command's schema, every rule and the device checked.

    Raises:
        UserError: a rule is broken, or the device is not there.
    """
    cfg = typed(config, SCHEMAS[name])
    if isinstance(cfg, TrainConfig):
        check_device(cfg.trainer.accelerator)
    return cfg


def _check_run(config: DictConfig) -> None:
    cfg = checked(config, config.hydra.job.name)
    directory = Path(OmegaConf.select(config, "hydra.run.dir"))
    if isinstance(cfg, TrainConfig):
        run = RunDirectory(directory)
        if run.open(cfg) == "done":
            print(f"{directory}: already done (config_hash {config_hash(cfg)}); nothing was read or rewritten")
            sys.exit(0)
    else:
        if cfg.data.root is not None and Path(cfg.data.root) == directory.resolve():
            raise UserError(f"output_dir={directory}: is also data.root; write somewhere else")
        OutputDirectory(directory).open_for(config.hydra.job.name)


def _check_sweep(config: DictConfig) -> None:
    given = [override for override in config.hydra.overrides.task if override.startswith("output_dir=")]
    if given:
        raise UserError(f"{given[0]}: a sweep's place is hydra.sweep.dir=DIR, output_dir is for a single run")
    checked(config, config.hydra.job.name)
    directory = Path(OmegaConf.select(config, "hydra.sweep.dir"))
    if directory.exists() and any(directory.iterdir()):
        raise UserError(f"hydra.sweep.dir={directory}: is not empty; a sweep starts in a new directory")


def check_device(accelerator: str) -> None:
    """Refuse an accelerator that this machine lacks.

    Raises:
        UserError: names the accelerator and what is there.
    """
    if accelerator in {"cpu", "auto"}:
        return
    import torch

    available = torch.backends.mps.is_available() if accelerator == "mps" else torch.cuda.is_available()
    if not available:
        kind = "Apple GPU (mps)" if accelerator == "mps" else "CUDA GPU"
        raise UserError(
            f"trainer.accelerator={accelerator}: PyTorch {torch.__version__} finds no {kind} on this machine; "
            "use trainer.accelerator=cpu"
        )


def _or_exit(check: Callable[[], None]) -> None:
    """Run a check inside a Hydra callback, where only SystemExit gets through."""
    try:
        check()
    except (UserError, OmegaConfBaseException) as error:
        _refuse(error)


def _refuse(error: Exception) -> NoReturn:
    cause = f"\n{error.__cause__}" if isinstance(error.__cause__, OmegaConfBaseException) else ""
    print(f"error: {error}{cause}", file=sys.stderr)
    sys.exit(2)


def _one_handler_each() -> None:
    """Take away the handlers that libraries add to their own loggers: each line would appear twice."""
    for name in ("lightning", "lightning.pytorch", "lightning.fabric", "pytorch_lightning"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.WARNING)

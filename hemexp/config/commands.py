"""The configuration of each command: its groups, its own keys, and what identifies a run."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Optional

from hemexp.config.cohort import DataConfig, FeaturesConfig, LabelConfig, SplitConfig, resolve_data
from hemexp.config.debug import DebugConfig
from hemexp.config.models import ModelConfig, NetConfig
from hemexp.config.rules import finite, rule
from hemexp.config.sweeps import LoggerConfig, SearchConfig, WhereConfig
from hemexp.errors import UserError


@dataclass
class OptimizerConfig:
    """Adam's learning rate and L2 penalty."""

    lr: float = 0.001
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        rule(0 < self.lr <= 1e30, "optimizer.lr", self.lr, "must be above 0, and a sane number")
        rule(self.weight_decay >= 0, "optimizer.weight_decay", self.weight_decay, "must be 0 or more")


@dataclass
class TrainerConfig:
    """How long, on what, and how often the state is saved."""

    max_epochs: int = 1000
    stop_loss: Optional[float] = 0.001
    patience: Optional[int] = None
    batch_size: Optional[int] = None
    accelerator: str = "cpu"
    devices: Any = 1
    num_threads: int = 1
    precision: int = 32
    checkpoint_every: int = 200
    progress_bar: bool = True
    profiler: Optional[str] = None

    def __post_init__(self) -> None:
        rule(self.max_epochs >= 1, "trainer.max_epochs", self.max_epochs, "must be at least 1")
        rule(self.stop_loss is None or self.stop_loss >= 0, "trainer.stop_loss", self.stop_loss, "must be 0 or more")
        rule(self.patience is None or self.patience >= 1, "trainer.patience", self.patience, "must be at least 1 epoch")
        rule(
            self.batch_size is None or self.batch_size >= 1,
            "trainer.batch_size",
            self.batch_size,
            "must be at least 1, or null for the full batch",
        )
        known = ("cpu", "gpu", "cuda", "mps", "auto")
        rule(self.accelerator in known, "trainer.accelerator", self.accelerator, f"must be one of {', '.join(known)}")
        one_index = isinstance(self.devices, list) and len(self.devices) == 1 and type(self.devices[0]) is int
        rule(
            (type(self.devices) is int and self.devices == 1) or one_index,
            "trainer.devices",
            self.devices,
            "a run trains on one device: 1, or the index of one in a list, such as [2]",
        )
        rule(
            self.devices == 1 or self.accelerator not in {"cpu", "auto"},
            "trainer.devices",
            self.devices,
            f"an index is of a GPU; with trainer.accelerator={self.accelerator} it must be 1",
        )
        rule(1 <= self.num_threads <= 1024, "trainer.num_threads", self.num_threads, "must be 1 to 1024")
        rule(self.precision in {32, 64}, "trainer.precision", self.precision, "must be 32 or 64 bits")
        mps = self.accelerator == "mps" and self.precision == 64
        rule(not mps, "trainer.precision", self.precision, "an Apple GPU (mps) computes in 32 bits")
        rule(self.checkpoint_every >= 1, "trainer.checkpoint_every", self.checkpoint_every, "must be at least 1 epoch")
        profilers = ("simple", "pytorch")
        rule(
            self.profiler is None or self.profiler in profilers,
            "trainer.profiler",
            self.profiler,
            "must be simple, pytorch or null",
        )


@dataclass
class EvaluationConfig:
    """How much is found out about the model: off (the split's test part only), standard or full."""

    name: str
    num_folds: int = 5
    num_repeats: int = 20
    threshold_repeats: int = 4
    num_refits: int = 0
    label_repeats: int = 0
    permutations: int = 0
    patients: str = "labelled"

    def __post_init__(self) -> None:
        known = ("off", "standard", "full")
        rule(self.name in known, "evaluation.name", self.name, f"must be {', '.join(known)}, as evaluation=NAME")
        rule(2 <= self.num_folds <= 100, "evaluation.num_folds", self.num_folds, "must be 2 to 100")
        for key in ("num_repeats", "threshold_repeats", "num_refits", "label_repeats", "permutations"):
            value = getattr(self, key)
            rule(0 <= value <= 10_000, f"evaluation.{key}", value, "must be 0 to 10000; 0 leaves it out")
        parts = ("labelled", "train")
        rule(self.patients in parts, "evaluation.patients", self.patients, "must be labelled, or train")


@dataclass
class TrainConfig:
    """``python train.py``."""

    data: DataConfig
    label: LabelConfig
    features: FeaturesConfig
    split: SplitConfig
    evaluation: EvaluationConfig
    model: ModelConfig
    optimizer: OptimizerConfig
    trainer: TrainerConfig
    where: WhereConfig
    search: SearchConfig
    logger: LoggerConfig
    tags: list[str]
    seed: int
    output_dir: str
    debug: DebugConfig = field(default_factory=DebugConfig)

    def __post_init__(self) -> None:
        rule(0 <= self.seed < 2**32, "seed", self.seed, "must be 0 or more, and below 2**32")
        rule(
            self.split.val_fraction == 0 or isinstance(self.model, NetConfig),
            "split.val_fraction",
            self.split.val_fraction,
            f"decides when a network stops; model={self.model.name} is none, leave it at 0",
        )
        finite(asdict(self))
        self.data = resolve_data(self.data)


@dataclass
class PrepareConfig:
    """``python prepare.py``."""

    data: DataConfig
    label: LabelConfig
    imputation: Optional[str]
    output_dir: str

    def __post_init__(self) -> None:
        rule(self.imputation in {None, "previous_three"}, "imputation", self.imputation, "must be previous_three")
        finite(asdict(self))
        self.data = resolve_data(self.data)


@dataclass
class PredictConfig:
    """``python predict.py``."""

    data: DataConfig
    run_dir: Optional[str]
    output_dir: str

    def __post_init__(self) -> None:
        if self.run_dir is None:
            raise UserError("run_dir is not set: give run_dir=RUN, the directory of a finished train.py run")
        rule(Path(self.run_dir, "DONE").is_file(), "run_dir", self.run_dir, "is no finished run: it holds no DONE")
        if self.data.root is None and self.data.kind == "auto":
            raise UserError("data.root is not set: give data.root=DIR, or data=synthetic for simulated patients")
        self.data = resolve_data(self.data)


@dataclass
class ReportOptions:
    """What the page may show."""

    patients: bool = False


@dataclass
class ReportConfig:
    """``python report.py``."""

    report: ReportOptions
    run_dir: Optional[str]
    sweep_dir: Optional[str]
    output_dir: str

    def __post_init__(self) -> None:
        if self.run_dir is None and self.sweep_dir is None:
            raise UserError(
                "run_dir is not set: give run_dir=RUN, the directory of a train.py run, or sweep_dir=SWEEP, a sweep's"
            )
        if self.run_dir is not None and self.sweep_dir is not None:
            raise UserError(f"sweep_dir={self.sweep_dir}: run_dir is set too; a page is about one of them")
        key, place = ("run_dir", self.run_dir) if self.sweep_dir is None else ("sweep_dir", self.sweep_dir)
        run, sweep = (Path(str(place), name).is_file() for name in ("result.json", "leaderboard.csv"))
        if key == "run_dir":
            hint = f"; it is a sweep: give sweep_dir={place}" if sweep else ""
            rule(run, key, place, f"is no run of train.py: it holds no result.json{hint}")
        else:
            hint = f"; it is a run: give run_dir={place}" if run else ""
            rule(sweep, key, place, f"is no sweep of train.py: it holds no leaderboard.csv{hint}")

    @property
    def place(self) -> Path:
        """The directory that the page is about."""
        return Path(str(self.run_dir or self.sweep_dir))


# where a run is, who runs it, and how it is shown
NOT_HASHED = ("output_dir", "where", "search", "logger", "tags", "checkpoint_every", "progress_bar", "profiler")


def config_hash(cfg: TrainConfig) -> str:
    """Return 16 hex digits of all that shapes a run's numbers, which its place and its progress bar do not."""
    content = {key: value for key, value in asdict(cfg).items() if key not in NOT_HASHED}
    content["trainer"] = {key: value for key, value in content["trainer"].items() if key not in NOT_HASHED}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

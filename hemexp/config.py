"""Every configuration key, its type and its rules, checked before anything heavy is imported.

The classes are the schema of ``conf/``: a wrong type or an unknown key is refused when Hydra composes, a broken rule
when `OmegaConf.to_object` builds the objects. Nothing here imports pandas or torch.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Optional

from hemexp.errors import UserError

TIDY_FILES = ("scans.csv", "scans.parquet")
WORKBOOKS = {"clinical": "表1", "imaging": "表2", "radiomics": "表3", "times": "附表1"}


def _rule(holds: bool, key: str, value: object, rule: str) -> None:
    if not holds:
        raise UserError(f"{key}={value}: {rule}")


def _finite(values: Mapping[str, Any], prefix: str = "") -> None:
    for key, value in values.items():
        if isinstance(value, dict):
            _finite(value, f"{prefix}{key}.")
        elif isinstance(value, float):
            _rule(math.isfinite(value), f"{prefix}{key}", value, "must be a finite number")


@dataclass
class DataConfig:
    """Where the cohort comes from: `kind` is auto, synthetic, workbook or tidy; `root` a folder."""

    kind: str
    root: Optional[str] = None

    def __post_init__(self) -> None:
        _rule(self.kind in {"auto", "synthetic", "workbook", "tidy"}, "data.kind", self.kind, "unknown kind")


@dataclass
class SyntheticDataConfig(DataConfig):
    """The simulated cohort; with `kind` auto it is what is used where no `root` is given."""

    num_patients: int = 100
    num_unlabelled: int = 60
    prevalence: float = 0.23
    signal: float = 1.0
    seed: int = 2024
    traps: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _rule(1 <= self.num_patients <= 10**6, "data.num_patients", self.num_patients, "must be 1 to a million")
        _rule(0 <= self.num_unlabelled <= 10**6, "data.num_unlabelled", self.num_unlabelled, "must be 0 to a million")
        _rule(0.001 <= self.prevalence <= 0.999, "data.prevalence", self.prevalence, "must lie between 0.001 and 0.999")
        _rule(0 <= self.signal <= 20, "data.signal", self.signal, "must be 0 (no signal) to 20")
        _rule(self.seed >= 0, "data.seed", self.seed, "must be 0 or more")
        _rule(not self.traps or self.num_patients >= 5, "data.num_patients", self.num_patients, "traps need at least 5")


@dataclass
class LabelConfig:
    """What counts as hematoma expansion: growth over the first scan, within a window, on a clock."""

    name: str
    absolute_ml: Optional[float]
    relative: Optional[float]
    window_hours: float
    clock: str
    inclusive: bool = True
    no_scan_in_window: str = "negative"
    intraventricular: bool = False

    def __post_init__(self) -> None:
        _rule(
            self.absolute_ml is not None or self.relative is not None,
            "label.absolute_ml",
            None,
            "a label needs label.absolute_ml (mL), label.relative (a fraction) or both",
        )
        for key in ("absolute_ml", "relative"):
            value = getattr(self, key)
            _rule(value is None or value > 0, f"label.{key}", value, "must be above 0")
        _rule(self.window_hours > 0, "label.window_hours", self.window_hours, "must be above 0")
        _rule(self.clock in {"onset", "baseline"}, "label.clock", self.clock, "must be onset or baseline")
        _rule(
            self.no_scan_in_window in {"negative", "exclude"},
            "label.no_scan_in_window",
            self.no_scan_in_window,
            "must be negative or exclude",
        )
        _rule(
            not self.intraventricular,
            "label.intraventricular",
            self.intraventricular,
            "needs new intraventricular blood on a later scan, which the tables do not hold",
        )

    def describe(self) -> str:
        """Return the definition in words."""
        sign = "at least" if self.inclusive else "more than"
        growth = [f"{self.absolute_ml:g} mL"] if self.absolute_ml is not None else []
        growth += [f"{100 * self.relative:g} %"] if self.relative is not None else []
        start = "onset" if self.clock == "onset" else "the first scan"
        return f"growth by {sign} {' or '.join(growth)} within {self.window_hours:g} h of {start}"


@dataclass
class FeaturesConfig:
    """Which inputs, and how far from the training mean an input may lie (in standard deviations)."""

    name: str
    clip: float = 10.0

    def __post_init__(self) -> None:
        _rule(self.clip > 0, "features.clip", self.clip, "must be above 0 standard deviations")


@dataclass
class SplitConfig:
    """A division of the labelled patients; `val_fraction` is cut out of the training part, never the test part."""

    NAMES: ClassVar[tuple[str, ...]]
    name: str
    val_fraction: float = 0.0

    def __post_init__(self) -> None:
        _rule(self.name in self.NAMES, "split.name", self.name, "is set by split=NAME, not by itself")
        _rule(0 <= self.val_fraction < 1, "split.val_fraction", self.val_fraction, "must lie in [0, 1)")

    def describe(self) -> str:
        """Return the division in words."""
        return self.name


@dataclass
class FractionSplitConfig(SplitConfig):
    """One division, `train_fraction` of the patients for training."""

    NAMES: ClassVar[tuple[str, ...]] = ("paper", "stratified")
    train_fraction: float = 0.6

    def __post_init__(self) -> None:
        super().__post_init__()
        _rule(0 < self.train_fraction < 1, "split.train_fraction", self.train_fraction, "must lie between 0 and 1")


@dataclass
class KFoldSplitConfig(SplitConfig):
    """Stratified folds; fold number `fold` is the test part."""

    NAMES: ClassVar[tuple[str, ...]] = ("kfold",)
    num_folds: int = 5
    fold: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        _rule(self.num_folds >= 2, "split.num_folds", self.num_folds, "must be at least 2")
        _rule(
            0 <= self.fold < self.num_folds, "split.fold", self.fold, f"must be 0 to {self.num_folds - 1} (num_folds-1)"
        )

    def describe(self) -> str:
        """Return the division in words."""
        return f"fold {self.fold} of {self.num_folds}"


@dataclass
class ModelConfig:
    """What every network has: the width of the hidden layer, dropout before it, and how weights begin."""

    NAME: ClassVar[str]
    name: str
    hidden_dim: int = 64
    dropout: float = 0.0
    init: str = "default"

    def __post_init__(self) -> None:
        _rule(self.name == self.NAME, "model.name", self.name, "is set by model=NAME, not by itself")
        _rule(1 <= self.hidden_dim <= 65536, "model.hidden_dim", self.hidden_dim, "must be 1 to 65536")
        _rule(0 <= self.dropout < 1, "model.dropout", self.dropout, "must lie in [0, 1)")
        inits = ("default", "zeros", "all_zeros")
        _rule(self.init in inits, "model.init", self.init, "must be default, zeros or all_zeros")


@dataclass
class ConvolutionConfig:
    """The convolution branch: an odd kernel keeps the length, `channels` are those of its two layers."""

    kernel_size: int = 3
    channels: list[int] = field(default_factory=lambda: [16, 32])

    def __post_init__(self) -> None:
        _rule(
            1 <= self.kernel_size <= 999 and self.kernel_size % 2 == 1,
            "model.kernel_size",
            self.kernel_size,
            "must be odd, 1 to 999",
        )
        _rule(
            len(self.channels) == 2 and min(self.channels) >= 1 and max(self.channels) <= 65536,
            "model.channels",
            self.channels,
            "must be two numbers, 1 to 65536",
        )


@dataclass
class SelfAttentionConfig:
    """The attention branch: `num_heads` must divide `embed_dim`; `embedding` is shared by all inputs or per_feature."""

    num_heads: int = 4
    embed_dim: int = 16
    embedding: str = "shared"

    @property
    def collapses(self) -> bool:
        """Whether attention has the closed form of docs/attention.md; nothing that breaks it can be configured else."""
        return self.embedding == "shared"

    def __post_init__(self) -> None:
        _rule(1 <= self.embed_dim <= 65536, "model.embed_dim", self.embed_dim, "must be 1 to 65536")
        _rule(
            self.num_heads >= 1 and self.embed_dim % self.num_heads == 0,
            "model.num_heads",
            self.num_heads,
            f"must divide model.embed_dim={self.embed_dim}",
        )
        known = ("shared", "per_feature")
        _rule(self.embedding in known, "model.embedding", self.embedding, "must be shared or per_feature")


@dataclass
class CNNConfig(ConvolutionConfig, ModelConfig):
    """The convolution branch alone."""

    NAME: ClassVar[str] = "cnn"

    def __post_init__(self) -> None:
        ModelConfig.__post_init__(self)
        ConvolutionConfig.__post_init__(self)


@dataclass
class AttentionConfig(SelfAttentionConfig, ModelConfig):
    """The attention branch alone."""

    NAME: ClassVar[str] = "attention"

    def __post_init__(self) -> None:
        ModelConfig.__post_init__(self)
        SelfAttentionConfig.__post_init__(self)
        _rule(self.init != "zeros", "model.init", self.init, "zeroes convolutions, and model=attention has none")


@dataclass
class SACNNConfig(SelfAttentionConfig, ConvolutionConfig, ModelConfig):
    """The paper's network: both branches side by side."""

    NAME: ClassVar[str] = "sacnn"

    def __post_init__(self) -> None:
        ModelConfig.__post_init__(self)
        ConvolutionConfig.__post_init__(self)
        SelfAttentionConfig.__post_init__(self)


@dataclass
class OptimizerConfig:
    """Adam's learning rate and L2 penalty."""

    lr: float = 0.001
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _rule(0 < self.lr <= 1e30, "optimizer.lr", self.lr, "must be above 0, and a sane number")
        _rule(self.weight_decay >= 0, "optimizer.weight_decay", self.weight_decay, "must be 0 or more")


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

    def __post_init__(self) -> None:
        _rule(self.max_epochs >= 1, "trainer.max_epochs", self.max_epochs, "must be at least 1")
        _rule(self.stop_loss is None or self.stop_loss >= 0, "trainer.stop_loss", self.stop_loss, "must be 0 or more")
        _rule(
            self.patience is None or self.patience >= 1, "trainer.patience", self.patience, "must be at least 1 epoch"
        )
        _rule(
            self.batch_size is None or self.batch_size >= 1,
            "trainer.batch_size",
            self.batch_size,
            "must be at least 1, or null for the full batch",
        )
        known = ("cpu", "gpu", "cuda", "mps", "auto")
        _rule(self.accelerator in known, "trainer.accelerator", self.accelerator, f"must be one of {', '.join(known)}")
        one_index = isinstance(self.devices, list) and len(self.devices) == 1 and type(self.devices[0]) is int
        _rule(
            (type(self.devices) is int and self.devices == 1) or one_index,
            "trainer.devices",
            self.devices,
            "a run trains on one device: 1, or the index of one in a list, such as [2]",
        )
        _rule(
            self.devices == 1 or self.accelerator not in {"cpu", "auto"},
            "trainer.devices",
            self.devices,
            f"an index is of a GPU; with trainer.accelerator={self.accelerator} it must be 1",
        )
        _rule(1 <= self.num_threads <= 1024, "trainer.num_threads", self.num_threads, "must be 1 to 1024")
        _rule(self.precision in {32, 64}, "trainer.precision", self.precision, "must be 32 or 64 bits")
        mps = self.accelerator == "mps" and self.precision == 64
        _rule(not mps, "trainer.precision", self.precision, "an Apple GPU (mps) computes in 32 bits")
        _rule(self.checkpoint_every >= 1, "trainer.checkpoint_every", self.checkpoint_every, "must be at least 1 epoch")


@dataclass
class TrainConfig:
    """``python train.py``."""

    data: DataConfig
    label: LabelConfig
    features: FeaturesConfig
    split: SplitConfig
    model: ModelConfig
    optimizer: OptimizerConfig
    trainer: TrainerConfig
    seed: int
    output_dir: str

    def __post_init__(self) -> None:
        _rule(0 <= self.seed < 2**32, "seed", self.seed, "must be 0 or more, and below 2**32")
        _finite(asdict(self))
        self.data = resolve_data(self.data)


@dataclass
class PrepareConfig:
    """``python prepare.py``."""

    data: DataConfig
    label: LabelConfig
    imputation: Optional[str]
    output_dir: str

    def __post_init__(self) -> None:
        _rule(self.imputation in {None, "previous_three"}, "imputation", self.imputation, "must be previous_three")
        _finite(asdict(self))
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
        _rule(Path(self.run_dir, "DONE").is_file(), "run_dir", self.run_dir, "is no finished run: it holds no DONE")
        if self.data.root is None and self.data.kind == "auto":
            raise UserError("data.root is not set: give data.root=DIR, or data=synthetic for simulated patients")
        self.data = resolve_data(self.data)


def resolve_data(data: DataConfig) -> DataConfig:
    """Return the data config with its kind found out and its root made absolute.

    Raises:
        UserError: the folder is missing, holds both kinds of files or neither, or a root goes with data=synthetic.
    """
    if data.root is None:
        if data.kind in {"workbook", "tidy"}:
            raise UserError(f"data.root is not set: data={data.kind} reads a folder, give data.root=DIR")
        return replace(data, kind="synthetic")
    if data.kind == "synthetic":
        raise UserError(f"data.root={data.root}: data=synthetic reads no folder; leave one of the two out")
    if isinstance(data, SyntheticDataConfig):
        default = SyntheticDataConfig(data.kind, data.root)
        for key in (field.name for field in fields(data) if getattr(data, field.name) != getattr(default, field.name)):
            raise UserError(
                f"data.{key}={getattr(data, key)}: shapes the synthetic cohort, but data.root={data.root} is read"
            )
    root = Path(data.root)
    if not root.is_dir():
        what = "is a file; give the folder that holds it" if root.is_file() else "there is no such folder"
        raise UserError(f"data.root={data.root}: {what}")
    tidy = [name for name in TIDY_FILES if (root / name).is_file()]
    workbooks = sorted(path.name for prefix in WORKBOOKS.values() for path in root.glob(f"{prefix}*.xls*"))
    kind = data.kind
    if kind == "auto":
        if tidy and workbooks:
            raise UserError(
                f"data.root={data.root}: holds {tidy[0]} and {workbooks[0]}; say data=tidy or data=workbook"
            )
        if not tidy and not workbooks:
            books = ", ".join(f"{prefix}*.xlsx" for prefix in WORKBOOKS.values())
            raise UserError(
                f"data.root={data.root}: holds neither the four workbooks ({books}) nor {' or '.join(TIDY_FILES)}"
            )
        kind = "tidy" if tidy else "workbook"
    return DataConfig(kind=kind, root=str(root.resolve()))


NOT_HASHED = ("output_dir", "checkpoint_every", "progress_bar")  # where a run is and how it shows progress


def config_hash(cfg: TrainConfig) -> str:
    """Return 16 hex digits of all that shapes a run's numbers, which its place and its progress bar do not."""
    content = {key: value for key, value in asdict(cfg).items() if key not in NOT_HASHED}
    content["trainer"] = {key: value for key, value in content["trainer"].items() if key not in NOT_HASHED}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

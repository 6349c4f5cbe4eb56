"""Which model, and its sizes."""

from dataclasses import dataclass, field
from typing import ClassVar, Optional

from hemexp.config.rules import rule


@dataclass
class ModelConfig:
    """A model by its name; `INPUTS` are its own, for one that does not take the inputs of `features`."""

    NAMES: ClassVar[tuple[str, ...]]
    INPUTS: ClassVar[dict[str, tuple[str, ...]]] = {}
    name: str

    def __post_init__(self) -> None:
        rule(self.name in self.NAMES, "model.name", self.name, "is set by model=NAME, not by itself")

    @property
    def inputs(self) -> tuple[str, ...] | None:
        """Names of its own inputs, where it has any."""
        return self.INPUTS.get(self.name)


@dataclass
class NetConfig(ModelConfig):
    """What every network has: the width of the hidden layer, dropout before it, and how weights begin."""

    hidden_dim: int = 64
    dropout: float = 0.0
    init: str = "default"

    def __post_init__(self) -> None:
        super().__post_init__()
        rule(1 <= self.hidden_dim <= 65536, "model.hidden_dim", self.hidden_dim, "must be 1 to 65536")
        rule(0 <= self.dropout < 1, "model.dropout", self.dropout, "must lie in [0, 1)")
        inits = ("default", "zeros", "all_zeros")
        rule(self.init in inits, "model.init", self.init, "must be default, zeros or all_zeros")


@dataclass
class ConvolutionConfig:
    """The convolution branch: an odd kernel keeps the length, `channels` are those of its two layers."""

    kernel_size: int = 3
    channels: list[int] = field(default_factory=lambda: [16, 32])

    def __post_init__(self) -> None:
        rule(
            1 <= self.kernel_size <= 999 and self.kernel_size % 2 == 1,
            "model.kernel_size",
            self.kernel_size,
            "must be odd, 1 to 999",
        )
        rule(
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
        rule(1 <= self.embed_dim <= 65536, "model.embed_dim", self.embed_dim, "must be 1 to 65536")
        rule(
            self.num_heads >= 1 and self.embed_dim % self.num_heads == 0,
            "model.num_heads",
            self.num_heads,
            f"must divide model.embed_dim={self.embed_dim}",
        )
        known = ("shared", "per_feature")
        rule(self.embedding in known, "model.embedding", self.embedding, "must be shared or per_feature")


@dataclass
class MLPConfig(NetConfig):
    """Neither branch: two fully connected layers over the inputs themselves."""

    NAMES: ClassVar[tuple[str, ...]] = ("mlp",)


@dataclass
class CNNConfig(ConvolutionConfig, NetConfig):
    """The convolution branch alone."""

    NAMES: ClassVar[tuple[str, ...]] = ("cnn",)

    def __post_init__(self) -> None:
        NetConfig.__post_init__(self)
        ConvolutionConfig.__post_init__(self)


@dataclass
class AttentionConfig(SelfAttentionConfig, NetConfig):
    """The attention branch alone."""

    NAMES: ClassVar[tuple[str, ...]] = ("attention",)

    def __post_init__(self) -> None:
        NetConfig.__post_init__(self)
        SelfAttentionConfig.__post_init__(self)
        rule(self.init != "zeros", "model.init", self.init, "zeroes convolutions, and model=attention has none")


@dataclass
class SACNNConfig(SelfAttentionConfig, ConvolutionConfig, NetConfig):
    """The paper's network: both branches side by side."""

    NAMES: ClassVar[tuple[str, ...]] = ("sacnn",)

    def __post_init__(self) -> None:
        NetConfig.__post_init__(self)
        ConvolutionConfig.__post_init__(self)
        SelfAttentionConfig.__post_init__(self)


@dataclass
class EstimatorConfig(ModelConfig):
    """A model that is no network of ours and is fitted whole (`hemexp.models`)."""


@dataclass
class BaselineConfig(EstimatorConfig):
    """What every model must beat: the prevalence, the first volume, the hours from onset, the partial BRAIN score."""

    NAMES: ClassVar[tuple[str, ...]] = ("prevalence", "volume", "hours", "brain")
    INPUTS: ClassVar[dict[str, tuple[str, ...]]] = {
        "prevalence": (),
        "volume": ("log_volume",),
        "hours": ("log_hours",),
        "brain": ("HM_volume", "onset_to_first_scan", "stroke_history"),
    }


@dataclass
class Ridge2Config(EstimatorConfig):
    """Ridge regression on the log volume and the log hours; `C` is the inverse of the penalty."""

    NAMES: ClassVar[tuple[str, ...]] = ("ridge2",)
    INPUTS: ClassVar[dict[str, tuple[str, ...]]] = {"ridge2": ("log_volume", "log_hours")}
    C: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        rule(self.C > 0, "model.C", self.C, "must be above 0")


@dataclass
class LogisticConfig(EstimatorConfig):
    """Penalized logistic regression; what is null is chosen by cross-validation within the training part."""

    NAMES: ClassVar[tuple[str, ...]] = ("logistic",)
    C: Optional[float] = None
    l1_ratio: Optional[float] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        rule(self.C is None or self.C > 0, "model.C", self.C, "must be above 0, or null")
        known = self.l1_ratio is None or 0 <= self.l1_ratio <= 1
        rule(known, "model.l1_ratio", self.l1_ratio, "must be 0 (ridge) to 1 (lasso), or null")
        chosen = self.l1_ratio is not None or self.C is None
        rule(chosen, "model.l1_ratio", self.l1_ratio, f"can be chosen only together with C, which is {self.C}")


@dataclass
class FirthConfig(EstimatorConfig):
    """Logistic regression with Firth's correction; it has no settings, and wants fewer inputs than patients."""

    NAMES: ClassVar[tuple[str, ...]] = ("firth",)


@dataclass
class ForestConfig(EstimatorConfig):
    """A random forest; `max_features` is the share of inputs tried at a split, or null for the square root."""

    NAMES: ClassVar[tuple[str, ...]] = ("random_forest",)
    num_trees: int = 500
    min_samples_leaf: int = 1
    max_features: Optional[float] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        rule(1 <= self.num_trees <= 100_000, "model.num_trees", self.num_trees, "must be 1 to 100000")
        rule(self.min_samples_leaf >= 1, "model.min_samples_leaf", self.min_samples_leaf, "must be at least 1")
        share = self.max_features is None or 0 < self.max_features <= 1
        rule(share, "model.max_features", self.max_features, "must lie in (0, 1], or null")


@dataclass
class BoostingConfig(EstimatorConfig):
    """Gradient-boosted trees, of scikit-learn or of a package of their own."""

    NAMES: ClassVar[tuple[str, ...]] = ("gradient_boosting", "xgboost", "lightgbm", "catboost")
    num_trees: int = 100
    learning_rate: float = 0.05
    max_depth: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        rule(1 <= self.num_trees <= 100_000, "model.num_trees", self.num_trees, "must be 1 to 100000")
        rule(0 < self.learning_rate <= 1, "model.learning_rate", self.learning_rate, "must lie in (0, 1]")
        rule(1 <= self.max_depth <= 16, "model.max_depth", self.max_depth, "must be 1 to 16")


@dataclass
class TabularConfig(EstimatorConfig):
    """A tabular network from its authors' package; a part cut out of its training rows decides when it stops."""

    NAMES: ClassVar[tuple[str, ...]] = ("tabm", "ft_transformer")
    lr: float = 0.002
    weight_decay: float = 0.0003
    max_epochs: int = 200
    patience: int = 16
    val_fraction: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        rule(0 < self.lr <= 1e30, "model.lr", self.lr, "must be above 0, and a sane number")
        rule(self.weight_decay >= 0, "model.weight_decay", self.weight_decay, "must be 0 or more")
        rule(self.max_epochs >= 1, "model.max_epochs", self.max_epochs, "must be at least 1")
        rule(self.patience >= 1, "model.patience", self.patience, "must be at least 1 epoch")
        rule(0 < self.val_fraction < 1, "model.val_fraction", self.val_fraction, "must lie between 0 and 1")


BASELINES: tuple[EstimatorConfig, ...] = (
    *(BaselineConfig(name) for name in BaselineConfig.NAMES),
    Ridge2Config("ridge2"),
)  # always beside the model

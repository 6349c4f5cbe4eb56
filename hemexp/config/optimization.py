"""The optimizer, the schedule of its learning rate, and the loss of a network."""

from dataclasses import dataclass
from inspect import signature
from typing import Any, ClassVar

from hemexp.config.section import Section, key
from hemexp.config.target import TargetConfig
from hemexp.config.trials import try_loss, try_optimizer, try_scheduler
from hemexp.errors import UserError


@dataclass
class OptimizerConfig(Section):
    """The optimizer Adam; the other optimizers are its subclasses."""

    PREFIX: ClassVar[str] = "optimizer"
    NAMES: ClassVar[tuple[str, ...]] = ("adam",)
    lr: float = key(0.001, "learning rate", above=0, at_most=1e30)
    weight_decay: float = key(0.0, "L2 penalty on the weights", at_least=0, at_most=1000)
    name: str = key("adam", "name of the optimizer; it is set by optimizer=NAME")


@dataclass
class AdamWConfig(OptimizerConfig):
    """Adam with decoupled weight decay."""

    NAMES: ClassVar[tuple[str, ...]] = ("adamw",)
    weight_decay: float = key(
        0.01, "share of the weights that a step removes, times the learning rate", at_least=0, at_most=1000
    )


@dataclass
class SGDConfig(OptimizerConfig):
    """Stochastic gradient descent."""

    NAMES: ClassVar[tuple[str, ...]] = ("sgd",)
    lr: float = key(0.01, "learning rate", above=0, at_most=1e30)
    momentum: float = key(0.9, "share of the last step that is added to the next one", at_least=0, below=1)
    nesterov: bool = key(False, "take the gradient after the momentum's step (Nesterov)")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(not self.nesterov or self.momentum > 0, "nesterov", "needs optimizer.momentum above 0")


@dataclass
class CustomOptimizerConfig(TargetConfig, OptimizerConfig):
    """A `torch.optim.Optimizer` of another package or of PyTorch."""

    NAMES: ClassVar[tuple[str, ...]] = ("custom",)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("lr", "weight_decay"):
            if name in self.args:
                raise UserError(f"optimizer.args.{name}={self.args[name]}: is a key of its own; give optimizer.{name}")
        self.check_call("parameters", lr=self.lr)
        try_optimizer(self)

    def build(self, parameters: Any) -> Any:
        """Return the optimizer of these parameters; one that does not know weight decay gets none of 0."""
        is_known = "weight_decay" in signature(self.function).parameters
        decay = {"weight_decay": self.weight_decay} if is_known or self.weight_decay else {}
        return self.call(parameters, lr=self.lr, **decay)


@dataclass
class SchedulerConfig(Section):
    """A constant learning rate; the schedules are subclasses."""

    PREFIX: ClassVar[str] = "scheduler"
    NAMES: ClassVar[tuple[str, ...]] = ("none",)
    name: str = key("none", "name of the schedule; it is set by scheduler=NAME")


@dataclass
class LowestRateConfig(SchedulerConfig):
    """A schedule with a lowest learning rate."""

    NAMES: ClassVar[tuple[str, ...]] = ()
    min_lr: float = key(0.0, "lowest learning rate", at_least=0, at_most=1e30)


@dataclass
class CosineConfig(LowestRateConfig):
    """Half a period of a cosine, from the learning rate of the optimizer down to the lowest one."""

    NAMES: ClassVar[tuple[str, ...]] = ("cosine",)


@dataclass
class WarmupCosineConfig(LowestRateConfig):
    """A linear rise of the learning rate, then a cosine."""

    NAMES: ClassVar[tuple[str, ...]] = ("warmup_cosine",)
    warmup: float = key(0.1, "share of trainer.max_epochs in which the learning rate rises", above=0, below=1)


@dataclass
class StepConfig(SchedulerConfig):
    """A lower learning rate after every so many epochs."""

    NAMES: ClassVar[tuple[str, ...]] = ("step",)
    every: int = key(100, "epochs between two changes of the learning rate", at_least=1, unit="epochs")
    factor: float = key(0.5, "the learning rate is multiplied by this", above=0, below=1)


@dataclass
class PlateauConfig(LowestRateConfig):
    """A lower learning rate whenever the monitored loss does not fall."""

    NAMES: ClassVar[tuple[str, ...]] = ("plateau",)
    factor: float = key(0.5, "the learning rate is multiplied by this", above=0, below=1)
    patience: int = key(10, "epochs without a lower loss before the rate changes", at_least=0, unit="epochs")
    threshold: float = key(0.0001, "share of the loss by which a lower one must differ", at_least=0, below=1)


@dataclass
class CustomSchedulerConfig(TargetConfig, SchedulerConfig):
    """A scheduler of `torch.optim.lr_scheduler` or of another package, stepped once an epoch."""

    NAMES: ClassVar[tuple[str, ...]] = ("custom",)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_call("optimizer")
        try_scheduler(self, num_epochs=2)


@dataclass
class LossConfig(Section):
    """Cross entropy, of all patients alike or weighted by outcome; the other losses are subclasses."""

    PREFIX: ClassVar[str] = "loss"
    NAMES: ClassVar[tuple[str, ...]] = ("cross_entropy", "weighted")
    name: str = key("cross_entropy", "name of the loss; it is set by loss=NAME")


@dataclass
class FocalConfig(LossConfig):
    """The focal loss."""

    NAMES: ClassVar[tuple[str, ...]] = ("focal",)
    gamma: float = key(2.0, "0 is cross entropy; the larger, the less count easy patients", at_least=0, at_most=100)


@dataclass
class LabelSmoothingConfig(LossConfig):
    """Cross entropy with smoothed outcomes."""

    NAMES: ClassVar[tuple[str, ...]] = ("label_smoothing",)
    epsilon: float = key(0.1, "share of an outcome that is divided among both outcomes", above=0, below=1)


@dataclass
class CustomLossConfig(TargetConfig, LossConfig):
    """A function of logits (B, 2) and labels (B,), which returns the loss of each patient or their mean.

    A class is built with ``loss.args``, and its object is called, as of `torch.nn.CrossEntropyLoss`.
    """

    NAMES: ClassVar[tuple[str, ...]] = ("custom",)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_call(*() if self.is_class else ("logits", "labels"))
        try_loss(self)

    @property
    def is_class(self) -> bool:
        """Whether the target is a class."""
        return self.target is not None and isinstance(self.function, type)

    def build(self) -> Any:
        """Return the function of logits and labels."""
        return self.call() if self.is_class else self.call

    def check_result(self, losses: Any, labels: Any) -> None:
        """Refuse what is not a loss.

        Raises:
            UserError: names the target and the rule.
        """
        shape = getattr(losses, "shape", None)
        if shape not in {(), labels.shape} or not hasattr(losses, "requires_grad"):
            returned = type(losses).__name__ if shape is None else f"the shape {tuple(shape)}"
            rule = f"a tensor with a loss for each patient, {tuple(labels.shape)}, or their mean, ()"
            raise UserError(f"loss.target={self.target}: returned {returned}; rule: {rule}")


def check_rates(optimizer: OptimizerConfig, scheduler: SchedulerConfig) -> None:
    """Refuse a schedule that cannot lower the learning rate.

    Raises:
        UserError: the lowest rate is above the optimizer's.
    """
    if isinstance(scheduler, LowestRateConfig):
        rule = f"must be below optimizer.lr={optimizer.lr}, which it lowers"
        scheduler.require(scheduler.min_lr < optimizer.lr, "min_lr", rule)

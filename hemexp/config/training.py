"""The trainer and the evaluation of a run."""

from dataclasses import dataclass
from typing import Any, ClassVar, Optional

from hemexp.config.section import REQUIRED, Section, key
from hemexp.config.trainer_arguments import check_arguments

_REPEATS = {"at_least": 0, "at_most": 10_000}


@dataclass
class TrainerConfig(Section):
    """The training of a network: when it stops, the device, and how often its state is saved."""

    PREFIX: ClassVar[str] = "trainer"
    max_epochs: int = key(1000, "longest training", at_least=1, unit="epochs")
    stop_loss: Optional[float] = key(
        0.001, "training stops below this training loss; null: never", at_least=0, at_most=1
    )
    patience: Optional[int] = key(
        None, "stop after this long without a lower loss (val/loss if any); null: never", at_least=1, unit="epochs"
    )
    batch_size: Optional[int] = key(None, "patients in an optimizer step; null: all (full batch)", at_least=1)
    gradient_clip_val: Optional[float] = key(None, "largest norm of a network's gradient; null: any", above=0)
    accelerator: str = key(
        "cpu", "gpu is NVIDIA, mps Apple, auto a GPU if there is one", choices=("cpu", "gpu", "cuda", "mps", "auto")
    )
    devices: Any = key(1, "1: one device; or the number of a GPU in a list, such as [2]")
    num_threads: int = key(1, "CPU threads; one is fastest with a hundred patients", at_least=1, at_most=1024)
    precision: int = key(32, "64 is for comparison with other programs", choices=(32, 64), unit="bits")
    matmul: str = key(
        "highest",
        "precision of 32-bit products; high and medium are faster on a GPU, and less exact (TF32, bfloat16)",
        choices=("highest", "high", "medium"),
    )
    checkpoint_every: int = key(
        200,
        "time between saves of last.ckpt; a killed run repeats this; for a large group longer, so that saving takes "
        "5 % of the time",
        at_least=1,
        unit="epochs",
        hashed=False,
    )
    lightning: dict[str, Any] = key(
        {}, "more arguments of Lightning's Trainer, such as {accumulate_grad_batches: 2}; engine=lightning"
    )
    progress_bar: bool = key(True, "show a progress bar on the terminal", hashed=False)
    profiler: Optional[str] = key(
        None, "write profile/: a table or a trace of the time", choices=("simple", "pytorch"), hashed=False
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        one = type(self.devices) is int and self.devices == 1
        index = isinstance(self.devices, list) and len(self.devices) == 1 and type(self.devices[0]) is int
        index = index and 0 <= self.devices[0] < 1024
        rule = "a run trains on one device: must be 1, or one GPU number in a list, such as [2]"
        self.require(one or index, "devices", rule)
        rule = f"is the number of a GPU; with trainer.accelerator={self.accelerator} it must be 1"
        self.require(one or self.accelerator not in {"cpu", "auto"}, "devices", rule)
        if self.lightning:
            self.require(self.precision == 32 or "precision" not in self.lightning, "precision", "is set twice")
            check_arguments(self.lightning)
        mps = self.accelerator == "mps" and self.precision == 64
        self.require(not mps, "precision", "must be 32 with trainer.accelerator=mps: an Apple GPU has no 64 bits")


@dataclass
class EvaluationConfig(Section):
    """The evaluation of a run."""

    PREFIX: ClassVar[str] = "evaluation"
    NAMES: ClassVar[tuple[str, ...]] = ("off", "standard", "full")
    name: str = key(REQUIRED, "name of the evaluation; it is set by evaluation=NAME")
    num_folds: int = key(5, "folds of a cross-validation, stratified by outcome", at_least=2, at_most=100)
    num_repeats: int = key(20, "repeats of the cross-validation, each with new folds and seeds", **_REPEATS)
    threshold_repeats: int = key(4, "repeats within the training part, for thresholds and Venn-Abers pairs", **_REPEATS)
    num_refits: int = key(0, "refits on bootstrap samples, for optimism and instability", **_REPEATS)
    label_repeats: int = key(0, "repeats of the cross-validation with each other label", **_REPEATS)
    permutations: int = key(0, "permutations of each input in each fold, for attributions", **_REPEATS)
    by_center: str = key(
        "auto",
        "scores in each hospital by a model of the others, where the cohort has 3 or more; off: none",
        choices=("auto", "off"),
    )
    patients: str = key("labelled", "patients to cross-validate; train: training part", choices=("labelled", "train"))

    @property
    def reuses_folds(self) -> bool:
        """Whether the first repeats of the cross-validation have the folds and seeds that thresholds need."""
        return self.patients == "train" and self.num_repeats >= self.threshold_repeats

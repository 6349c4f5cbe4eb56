"""The optimizer, the trainer and the evaluation of a run."""

from dataclasses import dataclass
from typing import Any, ClassVar, Optional

from hemexp.config.section import REQUIRED, Section, key


@dataclass
class OptimizerConfig(Section):
    """The optimizer Adam."""

    PREFIX: ClassVar[str] = "optimizer"
    lr: float = key(0.001, "learning rate of Adam", above=0, at_most=1e30)
    weight_decay: float = key(0.0, "L2 penalty on the weights", at_least=0)


@dataclass
class TrainerConfig(Section):
    """The training of a network: when it stops, the device, and how often its state is saved."""

    PREFIX: ClassVar[str] = "trainer"
    max_epochs: int = key(1000, "longest training", at_least=1, unit="epochs")
    stop_loss: Optional[float] = key(
        0.001, "training stops when the training loss is below this; null: never", at_least=0
    )
    patience: Optional[int] = key(
        None,
        "training stops after this long without a lower loss (val/loss with a validation part, else train/loss); null: "
        "never",
        at_least=1,
        unit="epochs",
    )
    batch_size: Optional[int] = key(None, "patients in an optimizer step; null: all (full batch)", at_least=1)
    accelerator: str = key(
        "cpu",
        "device that trains: cpu, gpu or cuda (NVIDIA), mps (Apple), or auto (a GPU if there is one)",
        choices=("cpu", "gpu", "cuda", "mps", "auto"),
    )
    devices: Any = key(1, "1: one device; or the number of a GPU in a list, such as [2]")
    num_threads: int = key(
        1, "CPU threads; more than one does not help with a hundred patients", at_least=1, at_most=1024
    )
    precision: int = key(
        32, "precision of the numbers; 64 is for comparison with other programs and is half as fast",
        choices=(32, 64), unit="bits",
    )  # fmt: skip
    checkpoint_every: int = key(
        200, "time between two saves of last.ckpt; an interrupted run loses at most this much",
        at_least=1, unit="epochs", hashed=False,
    )  # fmt: skip
    progress_bar: bool = key(True, "show a progress bar on the terminal", hashed=False)
    profiler: Optional[str] = key(
        None,
        "measure where training spends its time, into profile/: simple (a table) or pytorch (a trace); null: do not "
        "measure",
        choices=("simple", "pytorch"),
        hashed=False,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        one = type(self.devices) is int and self.devices == 1
        index = isinstance(self.devices, list) and len(self.devices) == 1 and type(self.devices[0]) is int
        rule = "a run trains on one device: must be 1, or one GPU number in a list, such as [2]"
        self.require(one or index, "devices", rule)
        rule = f"is the number of a GPU; with trainer.accelerator={self.accelerator} it must be 1"
        self.require(one or self.accelerator not in {"cpu", "auto"}, "devices", rule)
        mps = self.accelerator == "mps" and self.precision == 64
        self.require(not mps, "precision", "must be 32 with trainer.accelerator=mps: an Apple GPU has no 64 bits")


@dataclass
class EvaluationConfig(Section):
    """The evaluation of a run."""

    PREFIX: ClassVar[str] = "evaluation"
    NAMES: ClassVar[tuple[str, ...]] = ("off", "standard", "full")
    name: str = key(REQUIRED, "name of the evaluation; it is set by evaluation=NAME")
    num_folds: int = key(5, "folds of a cross-validation, stratified by outcome", at_least=2, at_most=100)
    num_repeats: int = key(
        20, "repeats of the cross-validation, each with new folds and seeds; 0: no cross-validation",
        at_least=0, at_most=10_000,
    )  # fmt: skip
    threshold_repeats: int = key(
        4,
        "repeats of the cross-validation within the training part that gives thresholds and the risk range of each "
        "patient (Venn-Abers); 0: none",
        at_least=0,
        at_most=10_000,
    )
    num_refits: int = key(
        0, "refits on bootstrap samples, for optimism and instability; 0: none", at_least=0, at_most=10_000
    )
    label_repeats: int = key(
        0, "repeats of the cross-validation with each other label; 0: none", at_least=0, at_most=10_000
    )
    permutations: int = key(
        0, "permutations of each input in each fold, for attributions; 0: none", at_least=0, at_most=10_000
    )
    patients: str = key(
        "labelled",
        "patients in the cross-validation: labelled (training and test part) or train (the test part stays unused)",
        choices=("labelled", "train"),
    )

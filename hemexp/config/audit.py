"""The protocols of the audit: what each does with a cohort before it prints a score."""

from dataclasses import dataclass
from typing import ClassVar, Optional

from hemexp.config.section import REQUIRED, Section, key

KINDS = ("honest", "other flaw", "can inflate")
_PARTS = ("train", "all")


@dataclass
class ProtocolConfig(Section):
    """One way to train and score a model, honest or flawed. The defaults are the honest one, with the paper's split."""

    PREFIX: ClassVar[str] = "protocol"
    name: str = key(REQUIRED, "name of the protocol")
    leak: bool = key(False, "whether it can inflate the scores where the inputs hold no signal")
    flaw: bool = key(False, "whether it has an error that does not inflate: another outcome, other patients, chance")
    control: Optional[str] = key("honest_60_40", "protocol that differs by this flaw alone")
    models: list[str] = key(["logistic", "random_forest"], "models that are fitted; sacnn is the network of the paper")
    fit_on: str = key("train", "rows that the model learns from", choices=_PARTS)
    score_on: str = key("test", "rows that are scored", choices=("test", "all"))
    preprocess_on: str = key("train", "rows that give the statistics for gaps and scales", choices=_PARTS)
    rows: str = key(
        "patients", "a row is a patient, or a scan with the outcome of its patient", choices=("patients", "scans")
    )
    split: str = key(
        "paper", "the first 60 % of the rows, random rows, or random patients", choices=("paper", "random", "grouped")
    )
    select: Optional[str] = key(None, "rows that choose the ten inputs with the largest F value", choices=_PARTS)
    copies: int = key(1, "how often a positive row is in the table before the split", at_least=1, at_most=100)
    smote: Optional[str] = key(None, "rows that SMOTE makes new positive rows from", choices=_PARTS)
    choose: Optional[str] = key(
        None,
        "what is chosen by the scores in the test part; the best one of each score is reported",
        choices=("epoch", "seed", "split", "threshold", "setting", "label"),
    )
    inputs: list[str] = key([], "further inputs: later_volumes, later_scans, mrs_90d")
    label: Optional[str] = key(
        None,
        "another outcome: thresholds on numbers of 10^-3 mL, or growth of the edema",
        choices=("raw_units", "edema"),
    )
    drop_unclear: bool = key(False, "patients whose growth is near the threshold are removed from both parts")
    stop_loss: Optional[float] = key(0.001, "training of the network stops below this loss", at_least=0, at_most=1)
    init: str = key("default", "first weights of the network", choices=("default", "zeros", "all_zeros"))
    title: Optional[str] = key(None, "what the protocol is, in a line")
    wrong: Optional[str] = key(None, "what is wrong with it")
    look: Optional[str] = key(None, "how to see it in the methods section of a paper")
    note: Optional[str] = key(None, "why it costs much or little")
    source: Optional[str] = key(None, "where the mistake is described")

    @property
    def kind(self) -> str:
        """What the protocol is, in words for a table."""
        return KINDS[2 if self.leak else int(self.flaw)]

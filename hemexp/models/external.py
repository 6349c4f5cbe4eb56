"""A classifier of another package with scikit-learn's interface, and the errors of models from outside."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from traceback import walk_tb
from typing import Any, Self

import numpy as np

from hemexp.config.plugins import check_trust, trust
from hemexp.config.registry import describe_setting
from hemexp.errors import UserError
from hemexp.models.estimator import Estimator, to_bytes, to_tensor
from hemexp.types import Array

log = logging.getLogger(__name__)
_PACKAGE = Path(__file__).parents[1]
_INSTALLED = {"site-packages", "dist-packages", Path(logging.__file__).parents[1].name}


@contextmanager
def errors_of(source: str) -> Iterator[None]:
    """Turn an error in the user's own code into a message for the user; the log file holds the traceback.

    SystemExit is an error, too, except Lightning's own after Ctrl-C.

    Args:
        source: the settings that name the code, such as ``model=my_net``.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        is_stop = isinstance(error, SystemExit) and isinstance(error.__context__, KeyboardInterrupt)
        if is_stop or isinstance(error, UserError | MemoryError) or "out of memory" in str(error).lower():
            raise
        log.error("%s: failed in its own code", source, exc_info=True)
        problem = "ended the program by " * isinstance(error, SystemExit) + f"{type(error).__name__}: {error}"
        raise UserError(f"{source}: {problem.removesuffix(': ')}{_find_place(error)}") from error


def _find_place(error: BaseException) -> str:
    """Return the last line of the user's code that an error went through; empty if it is not known."""
    for frame, line in reversed(list(walk_tb(error.__traceback__))):
        path = Path(frame.f_code.co_filename)
        if not path.is_relative_to(_PACKAGE) and not _INSTALLED & {*path.parts} and path.is_file():
            return f" ({path.name} line {line}, in {frame.f_code.co_name})"
    return ""


def trust_classifier(content: Mapping[str, Any]) -> None:
    """Trust the classes of the classifier in a checkpoint's content, which this command has fitted."""
    if "skops" in content.get("estimator", {}):
        import skops.io

        for name in skops.io.get_untrusted_types(data=to_bytes(content["estimator"]["skops"])):
            trust(name)


@dataclass(kw_only=True, eq=False)
class ExternalEstimator(Estimator):
    """A classifier that the settings build, such as ``sklearn.svm.SVC``. Each ``random_state`` of it gets the seed.

    Attributes:
        settings: the section ``model``, with its method `build`.
        classifier: fitted.
        data: the classifier in the format of skops, from which no code runs; two calls would give other bytes.
    """

    settings: Any
    classifier: Any = field(init=False, default=None)
    data: bytes = field(init=False, default=b"")

    @property
    def _source(self) -> str:
        return describe_setting("model", {name: getattr(self.settings, name, None) for name in ("name", "target")})

    def fit(self, X: Array, y: Array) -> Self:
        """Build the classifier and fit it.

        Raises:
            UserError: it has no `predict_proba`, or its own code fails.
        """
        import skops.io

        with errors_of(self._source):
            classifier = self.settings.build(X.shape[1])
            if not hasattr(classifier, "fit"):
                raise UserError(f"{self._source}: {type(classifier).__name__} has no method fit")
            names = classifier.get_params() if hasattr(classifier, "get_params") else {}
            states = [key for key, value in names.items() if key.endswith("random_state") and value is None]
            if states:
                classifier.set_params(**dict.fromkeys(states, self.seed))
            classifier.fit(X, y)
            if not hasattr(classifier, "predict_proba"):
                raise UserError(
                    f"{self._source}: {type(classifier).__name__} has no predict_proba; rule: a classifier "
                    "that returns probabilities, such as sklearn.calibration.CalibratedClassifierCV around this one"
                )
            self.classifier, self.data = classifier, skops.io.dumps(classifier)
        return self

    def risk(self, X: Array) -> Array:
        """Return the classifier's probability of outcome 1."""
        with errors_of(self._source):
            probabilities = np.asarray(self.classifier.predict_proba(X), dtype=np.float64)
            return probabilities[:, list(self.classifier.classes_).index(1)]

    def content(self) -> dict[str, Any]:
        """Return the classifier. It may hold patients' values."""
        return {"skops": to_tensor(self.data)}

    def restore(self, content: Mapping[str, Any]) -> Self:
        """Read the classifier.

        Raises:
            UserError: it needs a package that the user has not named.
        """
        import skops.io

        self.data = to_bytes(content["skops"])
        types = skops.io.get_untrusted_types(data=self.data)
        for name in types:  # also private ones of scikit-learn, such as a part of CalibratedClassifierCV
            check_trust(name, self._source, is_part=True)
        self.classifier = skops.io.loads(self.data, trusted=types)
        return self

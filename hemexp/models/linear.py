"""Logistic regressions: the risk is ``expit(intercept + sum_f coefficient_f x_f)``."""

import warnings
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from firthmodels import FirthLogisticRegression
from scipy.linalg import LinAlgWarning
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import StratifiedKFold

from hemexp.errors import UserError
from hemexp.files.formula import LOGISTIC
from hemexp.models.estimator import Estimator
from hemexp.types import Array

NO_PENALTY = 1e6  # C from which the estimates are those of maximum likelihood, to six digits


@dataclass(kw_only=True, eq=False)
class Linear(Estimator):
    """A logistic regression. Each subclass estimates the coefficients in its own way."""

    fitted_names: ClassVar[tuple[str, ...]] = ("coefficients", "intercept")
    coefficients: Array = field(init=False)
    intercept: float = field(init=False)

    @property
    def has_penalty(self) -> bool:
        """Whether the estimates are shrunk; a penalty as weak as that of `NO_PENALTY` does not count."""
        return (getattr(self, "C", None) or 0) < NO_PENALTY

    @abstractmethod
    def solve(self, X: Array, y: Array) -> Any:
        """Return a fitted scikit-learn model with ``coef_`` and ``intercept_``."""

    def fit(self, X: Array, y: Array) -> Self:
        """Estimate the coefficients."""
        with warnings.catch_warnings():
            # if an input separates the outcomes there is no optimum; the solver stops at finite values
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.simplefilter("ignore", LinAlgWarning)  # the coefficient of a constant input is 0
            model = self.solve(X, y)
        self.coefficients, self.intercept = np.ravel(model.coef_), float(np.ravel(model.intercept_)[0])
        return self

    def list_terms(self) -> dict[str, Any]:
        """Return the linear predictor of the scaled inputs."""
        return {"kind": LOGISTIC, "intercept": self.intercept, "coefficients": self.coefficients.tolist()}

    def risk(self, X: Array) -> Array:
        """Return ``expit`` of the linear predictor."""
        return np.asarray(expit(X @ self.coefficients + self.intercept))


@dataclass(kw_only=True, eq=False)
class Ridge(Linear):
    """Logistic regression with an L2 penalty; `C` is its inverse. Without `C` there is no penalty."""

    C: float = np.inf

    def solve(self, X: Array, y: Array) -> Any:
        """Return the maximum of the penalized likelihood."""
        return LogisticRegression(C=self.C, solver="newton-cholesky", tol=1e-8, max_iter=1000).fit(X, y)


@dataclass(kw_only=True, eq=False)
class Logistic(Linear):
    """Elastic net. Without `C`, stratified cross-validation within the training part chooses `C` by log loss.

    Attributes:
        C: inverse of the penalty; None to choose it.
        l1_ratio: 0 for ridge, 1 for lasso; None to choose from `L1_RATIOS`.
    """

    L1_RATIOS: ClassVar[tuple[float, ...]] = (0.0, 0.5, 1.0)
    NUM_FOLDS: ClassVar[int] = 5
    FALLBACK_C: ClassVar[float] = 0.1  # if an outcome occurs once: cross-validation needs it in two folds

    C: float | None
    l1_ratio: float | None

    def solve(self, X: Array, y: Array) -> Any:
        """Return the model with the given or the chosen penalty."""
        _, first, patient = np.unique(np.column_stack([X, y]), axis=0, return_index=True, return_inverse=True)
        num_folds = min(self.NUM_FOLDS, int(np.bincount(y[first], minlength=2).min()))
        settings: dict[str, Any] = {"solver": "newton-cholesky", "max_iter": 1000}
        if self.l1_ratio != 0:  # the only solver for this penalty that does not penalize the intercept
            settings = {"solver": "saga", "max_iter": 20_000, "tol": 1e-3, "random_state": self.seed}
        if self.C is not None or num_folds < 2:
            return LogisticRegression(C=self.C or self.FALLBACK_C, l1_ratio=self.l1_ratio or 0.0, **settings).fit(X, y)
        lowest = -4 if self.l1_ratio == 0 else -2  # with a smaller C the lasso drops all inputs
        folds = StratifiedKFold(num_folds, shuffle=True, random_state=self.seed).split(first, y[first])
        return LogisticRegressionCV(
            Cs=np.logspace(lowest, 1, 9),
            l1_ratios=list(self.L1_RATIOS) if self.l1_ratio is None else [self.l1_ratio],
            cv=[  # a bootstrap sample repeats patients: all copies go to the same side
                (np.flatnonzero(np.isin(patient, train)), np.flatnonzero(np.isin(patient, test)))
                for train, test in folds
            ],
            scoring="neg_log_loss",
            use_legacy_attributes=False,
            **settings,
        ).fit(X, y)


@dataclass(kw_only=True, eq=False)
class Firth(Linear):
    """Logistic regression with Firth's penalty; coefficients are finite even if an input separates the outcomes.

    Raises:
        UserError: there are at least as many inputs as patients, an input is a linear combination of others, or the fit
            did not converge.
    """

    def solve(self, X: Array, y: Array) -> Any:
        """Return the maximum of the penalized likelihood; the coefficient of a constant input is 0."""
        num_patients, num_inputs = X.shape
        if num_inputs >= num_patients:
            raise _error(f"inputs={num_inputs}, patients={num_patients}", "fewer inputs than patients")
        varies = X.max(axis=0) > X.min(axis=0)
        rank = np.linalg.matrix_rank(np.column_stack([np.ones(num_patients), X[:, varies]])) - 1
        if rank < varies.sum():
            problem = f"inputs that vary={varies.sum()}, independent={rank}"
            raise _error(problem, "no input may be a linear combination of others")
        try:
            model = FirthLogisticRegression(backend="numpy", max_iter=1000).fit(X[:, varies], y)
        except np.linalg.LinAlgError as error:
            raise _error(f"inputs={num_inputs}, patients={num_patients}: {error}", "the fit must converge") from error
        if not model.converged_:
            raise _error(f"not converged after {model.n_iter_} iterations", "the fit must converge")
        coefficients = np.zeros(num_inputs)  # 0 for a constant input
        coefficients[varies] = model.coef_
        model.coef_ = coefficients
        return model


def _error(problem: str, rule: str) -> UserError:
    return UserError(f"model=firth: {problem}; rule: {rule}; use features=minimal")

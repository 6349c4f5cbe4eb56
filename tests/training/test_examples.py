"""The examples in the docstrings of the public interface run and print what they show."""

import doctest

import pytest

from hemexp.data import datamodule, training_set
from hemexp.training import fit, member


@pytest.mark.parametrize("module", [datamodule, training_set, member, fit])
def test_the_example_of_the_docstring_runs(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0

"""Inputs, split and preprocessing: from a cohort to training sets."""

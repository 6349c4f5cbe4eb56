"""Figures of runs and sweeps; each function draws one and returns it."""

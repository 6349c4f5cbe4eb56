"""hemexp: predict hematoma expansion after intracerebral hemorrhage, and say how far the prediction can be trusted.

Data flows one way: cohort → features and split → network → task → evaluation → run directory → report.
"""

__version__ = "0.1.0"

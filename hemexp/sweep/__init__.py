"""Run many configurations: check all of them first, run each as a job, and rank the results."""

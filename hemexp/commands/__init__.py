"""The commands' work, one function each, called by the command line and by tests and notebooks alike."""

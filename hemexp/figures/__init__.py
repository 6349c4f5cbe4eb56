"""The pictures of a run. Each function draws one; whoever calls it decides where it goes."""

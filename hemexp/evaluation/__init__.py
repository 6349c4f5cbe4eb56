"""What predictions are worth: scores with intervals, resampling, and the measures that TRIPOD+AI asks for."""

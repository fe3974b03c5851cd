"""Events out, each output isolated: the JSON log, standard output, the terminal. Diagnostics to stderr."""

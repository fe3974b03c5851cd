"""Events out: the JSON log, standard output, the terminal."""

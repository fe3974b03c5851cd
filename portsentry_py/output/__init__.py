"""Events out, each output isolated: log, terminal, syslog, journal, metrics. Diagnostics to stderr."""

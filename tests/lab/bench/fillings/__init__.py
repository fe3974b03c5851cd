"""How each bounded table of the core is filled while all others stay small: one file a subject."""

"""Tables of cells that are run, kept and read back; compare and bench are its two faces."""

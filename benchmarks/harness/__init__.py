"""What every benchmark stands on: timing, records, the command line, tables."""

"""What becomes of inputs of every kind: nets of pandapower, damaged files, a hundred million steps."""

"""What the programs come to on a GPU and on a TPU, compiled on a machine without either."""

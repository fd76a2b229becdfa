"""Random sequences of operations, compared with a reference model."""

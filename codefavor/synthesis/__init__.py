"""Steps that ask a model for data."""

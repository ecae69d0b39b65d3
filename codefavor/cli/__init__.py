"""One file a verb; the only floor that prints."""

"""Where problems and commits come from."""

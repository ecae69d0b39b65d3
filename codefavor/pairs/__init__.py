"""From scored programs to balanced, split and checked preference pairs."""

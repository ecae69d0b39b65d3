"""A judge on a benchmark, from files to a result file."""

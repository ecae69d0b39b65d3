"""Results and data as pages and tables."""

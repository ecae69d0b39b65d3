"""What a program is worth, measured: test runs, mutants, static checks."""

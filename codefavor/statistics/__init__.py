"""How good a judge is: metrics, intervals, paired tests, controls."""

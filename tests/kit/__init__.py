"""Shared by tests: a loopback server that plays model servers and their faults, and a clock."""

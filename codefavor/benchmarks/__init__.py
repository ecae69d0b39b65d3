"""Labelled pairs that a judge is measured on, and what may be done to them."""

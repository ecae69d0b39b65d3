"""Judges: which of two programs is better?"""

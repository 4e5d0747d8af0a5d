"""Measures of how good results are."""

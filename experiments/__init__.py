"""Presets, a file of options each, and the sweep over values of options."""

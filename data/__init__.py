"""Scripts that make and lay out data sets."""

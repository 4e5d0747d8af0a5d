"""The pages to browse runs with."""

"""Pages for browsing runs."""

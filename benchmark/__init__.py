"""Speed and memory beside written-out baselines."""

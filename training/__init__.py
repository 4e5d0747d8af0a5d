"""What a training run needs besides the method: options, data, state, records."""

"""What a run of training needs beside the method: options, data, state, records."""

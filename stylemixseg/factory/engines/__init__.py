"""Who computes the samples: this process, several processes, or the workers of a Ray cluster. The bytes are the same."""

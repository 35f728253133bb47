"""Who computes the samples: this process, several processes, or the workers of a Ray cluster, with the same bytes."""

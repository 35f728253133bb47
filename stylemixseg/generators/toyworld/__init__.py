"""The toy world: scenes drawn by rules, with exact masks."""

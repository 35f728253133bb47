"""The toy world: scenes drawn by rules, so that masks are exact and nothing has to be downloaded."""

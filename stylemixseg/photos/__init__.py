"""Photographs: reading them, finding the face, segmenting them, and the photo's own edges."""

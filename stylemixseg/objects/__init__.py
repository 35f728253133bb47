"""Objects of a scene: boxes in, masks out (section 3.3)."""

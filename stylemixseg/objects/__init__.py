"""Objects: boxes in, masks out (section 3.3)."""

"""Networks that learn from image-mask pairs: what the paper trains on its synthetic images (section 4.4)."""

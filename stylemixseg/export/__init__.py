"""Results as files that other programs open: PNG, COCO JSON, latents."""

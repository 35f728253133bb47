"""StyleGAN2 in plain PyTorch, the generator of the paper (section 3.1)."""

"""Sources of aligned variants: the method needs many pictures of one structure, and StyleGAN is one way to get them."""

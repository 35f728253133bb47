"""The pieces of StyleGAN2's training with adaptive augmentation, one idea a module; ../train_stylegan2.py runs them.

The generator is the package's own (`stylemixseg.generators.stylegan2.network`). Papers: StyleGAN2, Karras et al. 2020,
https://arxiv.org/abs/1912.04958; ADA, Karras et al. 2020, https://arxiv.org/abs/2006.06676.
"""

"""What others do with the same generator: peers of the paper, written anew from their papers, and plain yardsticks.

Each has one module. `DatasetGAN`, `SegmentationInStyle`, `Klish` and `Labels4Free` read the generator's feature maps;
the yardsticks read one image, or none.
"""

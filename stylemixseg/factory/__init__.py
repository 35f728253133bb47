"""Many pairs of an image and its mask, made to train on: the same bytes whoever makes them, and however often stopped.

`synthesize` makes them. A sample depends on its seed and on the `Recipe` alone; `store` keeps it as one file,
`engines` says who computes, and `formats` writes what training code reads.
"""

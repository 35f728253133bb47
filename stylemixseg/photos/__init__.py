"""From a photograph to its mask (section 4.3): reading, finding the face, redrawing the mask at the photo's edges."""

"""Photos with masks drawn by people: CelebAMask-HQ and the Weizmann horses."""

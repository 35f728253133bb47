"""Photos with masks drawn by people, which numbers are measured against: CelebAMask-HQ and the Weizmann horses."""

"""Boxes from words (section 3.3): detectors, the phrases that they are asked for, and what is kept of their answers."""

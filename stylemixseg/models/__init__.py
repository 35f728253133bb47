"""Networks that serve as references, detectors of parts and measures: the face parser and DeepLabV3."""

"""The face generator in a page: its network as a small ONNX file, and recorded mixes that can stand in for it."""

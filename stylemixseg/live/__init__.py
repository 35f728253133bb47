"""The face generator in a page: its network as an ONNX file small enough to download, and what a page records instead."""

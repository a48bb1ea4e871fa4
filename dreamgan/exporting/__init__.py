"""Generators in the format ONNX, which runs without PyTorch: written, and compared with the original."""

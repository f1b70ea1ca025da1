"""Model folders: a network as ONNX with its description, and back."""

"""GGUF model files: their metadata, their tensors, and a copy in Q8_0."""

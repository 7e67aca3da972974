"""Makes smaller and faster variants of a local model: weights are changed in torch, and written as GGUF."""

"""Makes smaller and faster variants of a local model. Weights are changed in torch and written as GGUF."""

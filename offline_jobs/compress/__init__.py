"""Makes smaller and faster variants of a local model. The weights are changed in torch and written to a GGUF file."""

"""Methods that change a model: quantization, smoothing, pruning and fine-tuning."""

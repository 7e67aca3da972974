"""Methods that change a model: rounding to grids, smoothing, pruning and fine-tuning."""

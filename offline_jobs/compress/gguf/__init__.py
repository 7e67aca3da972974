"""GGUF: the tensor names of model families, vocabularies, and the export of a model."""

"""GGUF: files, blocks, tensor names of model families, vocabularies, and the export of a model."""

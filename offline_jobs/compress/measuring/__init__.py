"""Measures a model in torch and in llama.cpp, and decides whether a variant may be published."""

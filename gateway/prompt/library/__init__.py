"""The library: all templates, with their versions, pointers and pools of examples."""

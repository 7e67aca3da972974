"""All templates together, with their versions, pointers and pools of examples."""

"""All templates together: versions, pointers, example pools."""

"""The revisions of the schema, one per file."""

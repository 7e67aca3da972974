"""Records of exchanges: the spool on disk, the database, and feedback."""

"""Records of exchanges: the spool, the database, feedback."""

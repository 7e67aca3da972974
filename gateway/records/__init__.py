"""What is kept of each exchange: the spool, the database, feedback."""

"""Works on answers: checks, votes, further rounds."""

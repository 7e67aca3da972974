"""Works on answers: checks, votes and further rounds."""

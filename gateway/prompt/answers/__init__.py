"""Works on answers: runs checks, votes and further rounds."""

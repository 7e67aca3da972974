"""What is done with an answer: checks, votes, further rounds."""

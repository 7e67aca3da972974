"""Jobs on prompts that were found in traffic: answer contracts, rows, better versions, and their canaries."""

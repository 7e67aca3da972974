"""Amazon Bedrock's Converse API: translations from and to chat completions."""

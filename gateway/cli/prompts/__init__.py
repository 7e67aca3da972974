"""The commands of `foreword prompts`."""

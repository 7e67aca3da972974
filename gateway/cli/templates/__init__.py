"""The commands of `foreword templates`."""

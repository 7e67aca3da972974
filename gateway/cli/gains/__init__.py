"""The commands of `foreword gains`."""

"""The commands of `foreword collections`."""

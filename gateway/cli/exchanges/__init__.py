"""The commands of `foreword exchanges`."""

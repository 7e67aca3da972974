"""The commands of `foreword classifier`."""

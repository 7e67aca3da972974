"""The commands of `foreword jobs`."""

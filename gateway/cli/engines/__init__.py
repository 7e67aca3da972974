"""The commands of `foreword engines`, for the local engines and the variants of their models."""

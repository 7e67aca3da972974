"""`foreword engines`: the local engines and the variants of their models."""

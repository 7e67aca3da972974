"""`foreword gains`."""

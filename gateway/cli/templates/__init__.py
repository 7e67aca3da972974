"""`foreword templates`."""

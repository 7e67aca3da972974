"""`foreword exchanges`."""

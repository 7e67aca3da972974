"""`foreword jobs`."""

"""`foreword classifier`."""

"""`foreword collections`."""

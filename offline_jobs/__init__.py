"""Jobs that learn from recorded exchanges, run by `foreword jobs`. The gateway imports none of these modules."""

"""Jobs that learn from recorded exchanges, run by `foreword jobs`. The gateway never imports this package."""

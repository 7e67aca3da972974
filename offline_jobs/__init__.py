"""Jobs that learn from recorded exchanges. `foreword jobs` runs them. The gateway never imports this package."""

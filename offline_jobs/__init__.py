"""Jobs that learn from recorded exchanges: `foreword jobs`. The gateway imports none of them."""

"""Jobs that learn from recorded exchanges: `foreword jobs`. The gateway knows none of them."""

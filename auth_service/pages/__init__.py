"""What a person meets in a browser: pages over the same API, with no rule of their own."""

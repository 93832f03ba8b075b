"""Events: written with the change they tell of, published later."""

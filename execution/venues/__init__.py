"""Places where an order can be sent; each speaks the `Venue` protocol of `execution.ports`."""

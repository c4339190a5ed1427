"""See the module names: this package has no code of its own."""

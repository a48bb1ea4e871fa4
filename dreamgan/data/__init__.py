"""Photos in, dream datasets out and in, and the loaders that training reads them through."""

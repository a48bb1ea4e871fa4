"""Making a dream dataset: what is dreamed, in which units, and what is left when it is done."""

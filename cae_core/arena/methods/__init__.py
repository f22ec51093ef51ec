"""The methods that come with the package, one concept a file; each says which paper it is of."""

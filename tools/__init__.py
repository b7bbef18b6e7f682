"""Programs of the build: they check the tree and never ship with the package."""

"""One space: neighbours, spread, components, layouts."""

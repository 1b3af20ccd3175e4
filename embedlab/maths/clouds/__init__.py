"""Point-set registration."""

"""A reader and a recipe for embedlab."""

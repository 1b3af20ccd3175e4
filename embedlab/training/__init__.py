"""Training: a recipe and images in, a checkpoint out."""

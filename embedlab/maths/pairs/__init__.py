"""All pairs of images, and what is read off them."""

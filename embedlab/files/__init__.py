"""Files of any maker, read safely: what they hold, in plain arrays and names."""

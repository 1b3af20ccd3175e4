"""Networks: backbones, heads, checkpoints, and models from elsewhere."""

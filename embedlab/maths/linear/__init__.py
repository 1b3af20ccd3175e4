"""Linear maps between spaces, and how they are judged."""

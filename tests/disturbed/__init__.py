"""Real runs whose surroundings are disturbed: what is drawn, how it is played, and how it is judged."""

"""Learning: what is learnt of people and products, and what is done with it."""

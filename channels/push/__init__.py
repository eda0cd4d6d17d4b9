"""Push: what a template says, whose device it is, and the three services that bring it there."""

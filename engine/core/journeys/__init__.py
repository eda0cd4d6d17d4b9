"""A person's passage through a campaign, step by step. Begin with `passage`."""

"""Text messages: one provider a module, and what they share. Begin with `text`."""

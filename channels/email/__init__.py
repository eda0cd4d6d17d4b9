"""E-mail: one provider a module, and what they share. Begin with `smtp` or `sendgrid`."""

"""Messages out and what comes back of them. Begin with `outbox`."""

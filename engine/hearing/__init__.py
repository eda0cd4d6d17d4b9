"""What comes back: providers' reports, people's texts and clicks. Begin with `hear`."""

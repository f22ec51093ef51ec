"""What has failed once, and what must be accepted."""

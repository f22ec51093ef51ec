"""A child process around a foreign model: what it may do, how long, with how much, and what it may say."""

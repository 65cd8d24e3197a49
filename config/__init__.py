"""Composes the rooms' parameters into one typed whole, read from YAML and the environment."""

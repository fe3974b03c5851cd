"""The configuration: YAML to frozen settings."""

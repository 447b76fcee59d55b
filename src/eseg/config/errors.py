"""The one kind of error for everything that is wrong with a config."""


class ConfigError(ValueError):
    """A key or value of a config is wrong; the message gives its path and what is allowed."""

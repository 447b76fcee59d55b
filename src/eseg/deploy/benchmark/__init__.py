"""Speed of networks on this machine."""

"""From a trained network to something that runs elsewhere, and what it costs."""

"""From a trained network to masks, pictures and figures."""

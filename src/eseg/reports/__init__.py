"""Tables, picture sheets and curves for every room that shows results."""

"""Images and masks in, batches out."""

"""What layers and images contain: extraction, hostile layers, and the process that reads them."""

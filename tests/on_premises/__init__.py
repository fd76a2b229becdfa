"""What terraform/on-premises/ ships: image, compose file, chart, systemd units, and the page about them."""

"""The endpoint for incoming webhooks of workflow sources. They can only end access."""

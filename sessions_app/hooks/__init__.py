"""The endpoint for incoming webhooks of workflow sources. Webhooks can only end access."""

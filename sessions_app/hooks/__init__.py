"""The door for webhooks that sources of work send. What comes in here only ends access."""

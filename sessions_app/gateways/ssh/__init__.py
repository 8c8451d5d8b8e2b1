"""The SSH gateway: proves who connects, asks what they may run, and runs it on the target under the target's own control."""

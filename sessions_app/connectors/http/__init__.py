"""Applications behind a proxy: nothing is made there; that their door is shut is seen by asking."""

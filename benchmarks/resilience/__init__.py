"""What protection is worth: expiry under load, outages of L2, and the ladder of protections."""

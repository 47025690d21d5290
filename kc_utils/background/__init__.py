"""What the background chapters compute: small examples of the field's ideas on one model."""

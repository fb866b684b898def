"""What a comparison of records says: success, failure with its reasons, or inconclusive."""

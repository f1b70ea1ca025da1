"""What waits for a reviewer: listed, fetched, approved or rejected, made final."""

"""What made the project's data or measured something: run from the sources, never installed."""

"""Results for people: the report and its tables."""

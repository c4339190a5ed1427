"""Stage 2b: events and panels become gates, populations and marker expressions."""

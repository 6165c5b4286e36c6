"""Studies: many trainings and evaluations behind one command, and what they show."""

"""Lightning modules and callbacks: the dream stage as a prediction job, and the trainings."""

"""Generated shifts: a function of a dataset's rows and a random generator returns source and target."""

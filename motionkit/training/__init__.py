"""The training loop and its helpers: resumes exactly at a step, runs on two CPU cores; used by methods and recipes/."""

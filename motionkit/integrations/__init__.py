"""motionkit inside other programs: each package here is imported by its program, and needs it only when it runs."""

"""Settings: what can be chosen, the presets that fill it in, and the memory plan; imports no torch."""

"""The methods that ship with motionkit; each imports the toolkit, never another method."""

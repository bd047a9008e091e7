"""The web page (`motionkit ui`): every form and card on it is made from what methods and settings declare."""

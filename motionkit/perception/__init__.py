"""What a picture holds, seen by exchangeable back ends: lines so far; each reads numpy arrays and says how it knew.

Nothing is imported here: take `motionkit.perception.sketch`, so that one back end never pays for another's libraries.
"""

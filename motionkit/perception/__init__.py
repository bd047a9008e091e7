"""What pictures hold, seen by exchangeable back ends: lines, masks, depth, correspondence; numpy arrays in and out.

Nothing is imported here: take `motionkit.perception.sketch`, so that one back end never pays for another's libraries.
"""

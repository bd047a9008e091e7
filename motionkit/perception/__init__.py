"""Estimators with exchangeable back ends: poses, masks, depth, correspondence, lines, flow; numpy arrays in and out.

Nothing is imported here: take `motionkit.perception.sketch`, so that one back end never loads another's libraries.
"""

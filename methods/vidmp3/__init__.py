"""VIDMP3: the motion of a clip, given to another subject by prompt (arXiv 2510.12069).

Paper: "VIDMP3: Video Editing by Representing Motion with Pose and Position Priors", arXiv 2510.12069.
Authors' code: none was published; this is an independent implementation (Apache-2.0).
"""

"""Hand out assignments, take them back, grade them, and say why: a class without a server.

``python -m lib course`` on the command line, :class:`lib.course.kit.Course` in Python. nbgrader
keeps the gradebook. ``assignments`` knows the notebooks, ``intake`` what comes from a learning
platform, ``sandbox`` runs what students wrote, and ``guard`` says what that may not do.
"""

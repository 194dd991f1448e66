"""Scores anybody's descriptions: `describer score`.

descriptions.py    reads CSV files of any method, atlases, and what people wrote
evidence.py        what units answer on images that judge, and what texts foretell there
report.py          methods by metrics with intervals, beside shuffled and constant descriptions
published.py       python -m describer.eval.score.published: what text scores of published methods are worth
"""

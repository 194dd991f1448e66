"""Planted units, whose meaning is known because we made them fire on it: what do describers say of them?

python -m describer.eval.planted --data ../shared/data                # naming.py: how often captions name a concept
python -m describer.eval.planted card --concepts scenes:200:9         # card.py: all methods side by side
python -m describer.eval.planted real googlenet.py:load photos/       # versus.py: methods on a real network, judged
"""

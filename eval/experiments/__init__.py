"""What one can do with forms, measured on vision and on language by the same code (Mu & Andreas 2020, sections 4-7).

python -m describer.eval.experiments.accuracy vision carried:scenes scenes:1000:7 scenes:1000:21
python -m describer.eval.experiments.accuracy text pairs:runs/nli pairs.jsonl --vectors runs/nli/vectors.txt
python -m describer.eval.experiments.weights …        # the classes units speak for; do their forms too?
python -m describer.eval.experiments.adversaries …    # edits that forms and weights propose, against random ones
"""

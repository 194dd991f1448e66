"""What one can do with descriptions. With forms, on vision and language by the same code (Mu & Andreas 2020, 4-7):

python -m describer.eval.experiments.accuracy vision carried:scenes scenes:1000:7 scenes:1000:21
python -m describer.eval.experiments.accuracy text pairs:runs/nli pairs.jsonl --vectors runs/nli/vectors.txt
python -m describer.eval.experiments.weights …        # the classes units speak for; do their forms too?
python -m describer.eval.experiments.adversaries …    # edits that forms and weights propose, against random ones

With captions (Hernandez et al. 2022, sections 4-6):

python -m describer.eval.experiments.ablation …       # which words' units matter to accuracy
python -m describer.eval.experiments.audit …          # the described units of two networks, compared
python -m describer.eval.experiments.generalization … # captioners that learn from some networks, tested on others
"""

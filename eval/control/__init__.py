"""Networks changed through the words of their units, and what the change does, measured.

    describer edit gan.py:load --atlas atlas --query brown --scale 0 --out brown.png
    describer ablate carried:scenes --atlas atlas --query "green hills" --data scenes:400:9
    describer explain carried:scenes photo.png --atlas atlas
    describer pick atlas -n 20
    describer dials gan.py:load --atlas atlas

Every verb is one call: `edit.edit`, `ablation.ablate` or `repair.repair`, `explanation.explain`, `pick.pick`; dials are
`dials.Dials`.
"""

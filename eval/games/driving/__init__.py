"""The driving game: two cars that see only themselves and talk, with logged humans, robots and translators between.

    from describer.eval.games.driving import play
    report = play(seeds=(0, 1, 2), n_games=1000)             # carried robots; belief evaluation and behaviour

`world` holds the rules, `logs` the human games, `driver` and `lessons` the robots, `humans` the model humans,
`listening` the belief evaluation, `replay` the behaviour, `parallel` the game for PettingZoo.
"""

from describer.eval.games.driving.experiment import play as play

__all__ = ["play"]

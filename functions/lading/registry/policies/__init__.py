"""Gates: pulls and moves of tags, which policies allow or refuse."""

"""Gates: which pulls, puts and moves of tags policies allow, on both pairs of stores."""

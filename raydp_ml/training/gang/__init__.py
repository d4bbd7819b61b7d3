"""Training actors: placed near their data, kept warm, replaced when lost."""

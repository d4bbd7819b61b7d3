"""The measurements behind the README's figures: one file per question, one harness."""

"""What strangers' folders are loaded with, and how real ones are tampered with."""

"""What to write instead of names, attributes and keywords that PyTorch, Keras and NumPy have."""

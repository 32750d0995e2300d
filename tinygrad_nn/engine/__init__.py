"""What happens when an op meets a tensor: nodes, tensors, operators, the backward pass, derivatives of functions."""

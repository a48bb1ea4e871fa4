"""Networks: plain ``nn.Module``s, no training code."""

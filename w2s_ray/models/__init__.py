"""From pretrained bytes to a network, its tokenizer and its frozen features."""

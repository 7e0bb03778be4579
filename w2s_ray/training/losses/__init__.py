"""What a student minimises: a target for every example of a global batch, and how far its prediction is from it.

`confidence` makes the targets that depend on a whole global batch, `forms` are the distances, which look at one example
at a time, and `Objective` puts a named loss together for the training loop. Notation: z are logits, f = softmax(z) the
student's prediction, w the weak labels, both (n, classes), and [x] is x without gradient.
"""

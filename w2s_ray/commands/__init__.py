"""What several commands of `w2s` do in the same way: find a sweep by name, run it, say what came of it."""

"""What a data set of pairs is: labels that a shallow cue gives away, benchmark rows, its card."""

"""The generated C on a labelled test set, beside the float model: labels, figures, their text, the command evaluate."""

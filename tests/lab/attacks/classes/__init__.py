"""One file for each class of attacks: data and small plays."""

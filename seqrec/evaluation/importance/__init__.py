"""What a run's quality rests on: each input is permuted in turn, and the loss on validation is measured."""

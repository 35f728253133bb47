"""The pieces of the encoder's training, one idea a module; ../train_encoder.py runs them."""

"""The pieces of the face parser's training, one idea a module; ../train_face_parser.py runs them."""

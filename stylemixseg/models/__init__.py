"""Networks whose masks stand in for those of a person (section 4.2): the face parser and DeepLabV3."""

"""Finding, checking, captioning and ordering training images. No torch here."""

"""What the AIR language refuses."""


class AirError(ValueError):
    """The common base: everything this package refuses."""


class DeclarationError(AirError):
    """A chip, column, constraint or message that the language does not allow. Always the author's mistake."""


class TraceError(AirError):
    """Matrices, publics or challenges whose form is not the one that the chip declares."""

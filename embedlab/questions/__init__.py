"""What a person asks, a file a question; each reads what analyses found and judges it."""

ORDER = (
    "recognition",
    "sizes",
    "places",
    "undoing_blur",
    "sphere",
    "conversion",
    "blind_registration",
    "filters",
    "data",
    "groups",
    "growth",
    "worth",
    "hiding",
)
"""The order in which a report answers them."""

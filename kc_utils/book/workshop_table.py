"""stub"""

REPORT = "workshop.json"

"""Plain classes that react to messages. Every Ray option of the product is in `actors/system.py`, and only there."""

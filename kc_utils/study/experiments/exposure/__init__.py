"""What does one exposure give, and how long does it last?"""

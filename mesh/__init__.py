"""What two or more tiers share at run time. It knows no tier."""
